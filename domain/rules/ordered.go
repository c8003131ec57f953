package rules

import (
	"cmp"
	"fmt"
	"slices"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// ordered gives values to expressions. Objects are gone through in the order of their names: in that
// of Go's maps an expression could come out differently each time, or cost more.
type ordered struct{ types.Adapter }

// NativeToValue returns value as expressions know it.
func (o ordered) NativeToValue(value any) ref.Val {
	switch v := value.(type) {
	case map[string]any:
		return object{types.NewStringInterfaceMap(o, v)}
	case []any:
		return types.NewDynamicList(o, v)
	}
	return o.Adapter.NativeToValue(value)
}

// An object is a map that is gone through in the order of its keys.
type object struct{ traits.Mapper }

// Iterator goes through the keys.
func (o object) Iterator() traits.Iterator {
	var keys []ref.Val
	for it := o.Mapper.Iterator(); it.HasNext() == types.True; {
		keys = append(keys, it.Next())
	}
	slices.SortFunc(keys, func(a, b ref.Val) int { return cmp.Compare(fmt.Sprint(a.Value()), fmt.Sprint(b.Value())) })
	return types.NewRefValList(types.DefaultTypeAdapter, keys).(traits.Iterable).Iterator()
}
