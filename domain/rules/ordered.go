package rules

import (
	"maps"
	"slices"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// ordered gives values to expressions. Objects are gone through in the order of their names: in that
// of Go's maps an expression could come out differently each time, or cost more. What the library does
// with a whole object or list at once, and counts as little, is counted by the meter before it is done.
type ordered struct {
	types.Adapter
	meter *meter
}

// long is the size in steps from which on merely taking a text, a list or an object is counted.
const long = 1000

// NativeToValue returns value as expressions know it: empty, when it takes too many steps.
func (o ordered) NativeToValue(value any) ref.Val {
	switch v := value.(type) {
	case map[string]any:
		if !o.take(len(v)) {
			v = nil
		}
		return object{types.NewStringInterfaceMap(o, v), v, o.meter}
	case []any:
		if !o.take(len(v)) {
			v = nil
		}
		return list{types.NewDynamicList(o, v), v, o.meter}
	case string:
		if !o.take(len(v) / bytesInStep) {
			v = ""
		}
		return types.String(v)
	}
	return o.Adapter.NativeToValue(value)
}

// take counts what is taken of a size, and reports whether there were that many steps.
func (o ordered) take(size int) bool { return size < long || o.meter.spend(size) }

// An object is a map that is gone through in the order of its keys.
type object struct {
	traits.Mapper
	value map[string]any
	meter *meter
}

// Iterator goes through the keys: through none when sorting them takes too many steps.
func (o object) Iterator() traits.Iterator {
	var keys []string
	if o.meter.spend(stepsOfCost * len(o.value)) {
		keys = slices.Sorted(maps.Keys(o.value))
	}
	return types.NewStringList(types.DefaultTypeAdapter, keys).Iterator()
}

// Equal compares the object with another value.
func (o object) Equal(other ref.Val) ref.Val {
	if !o.meter.spend(stepsOfCost * weight(o.value, o.meter.left)) {
		return types.WrapErr(errCostly)
	}
	return plain(o).Equal(plain(other))
}

// A list is one of a candidate.
type list struct {
	traits.Lister
	value []any
	meter *meter
}

// Equal compares the list with another value.
func (l list) Equal(other ref.Val) ref.Val {
	if !l.meter.spend(stepsOfCost * weight(l.value, l.meter.left)) {
		return types.WrapErr(errCostly)
	}
	return plain(l).Equal(plain(other))
}

// Contains looks for a value in the list.
func (l list) Contains(value ref.Val) ref.Val {
	if !l.meter.spend(stepsOfCost * weight(l.value, l.meter.left)) {
		return types.WrapErr(errCostly)
	}
	return plain(l).(traits.Container).Contains(plain(value))
}

// plain returns a value whose parts are compared without being counted: that was done for all of it.
func plain(value ref.Val) ref.Val {
	switch v := value.(type) {
	case object:
		return types.NewStringInterfaceMap(types.DefaultTypeAdapter, v.value)
	case list:
		return types.NewDynamicList(types.DefaultTypeAdapter, v.value)
	}
	return value
}

// weight returns how many values there are in one, with the bytes of texts by the step; or, when it is
// above most, some number above it.
func weight(value any, most int) int {
	total := 1
	switch v := value.(type) {
	case string:
		total += len(v) / bytesInStep
	case []any:
		for _, element := range v {
			if total += weight(element, most-total); total > most {
				return total
			}
		}
	case map[string]any:
		for _, member := range v {
			if total += weight(member, most-total); total > most {
				return total
			}
		}
	}
	return total
}
