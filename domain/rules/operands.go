package rules

import (
	"fmt"
	"strconv"
	"unicode/utf8"
)

// opNames returns the names of the operators.
func opNames() map[string]bool {
	names := make(map[string]bool, len(operands))
	for op := range operands {
		names[string(op)] = true
	}
	return names
}

// operands say what is wrong with the value of each operator: nothing when it is as it must be.
var operands = map[Op]func(value any, given bool) string{
	Equal: checkScalar, Differs: checkScalar, Contains: checkScalar,
	Greater: checkNumber, AtLeast: checkNumber, Less: checkNumber, AtMost: checkNumber,
	Between:      checkRange,
	ContainsText: checkText, StartsWith: checkText, EndsWith: checkText,
	Matches: checkPattern,
	AnyOf:   checkList, AllOf: checkList, NoneOf: checkList,
	Exists: checkNone, Absent: checkNone,
}

func checkNone(_ any, given bool) string {
	if given {
		return "must be absent: the operator needs none"
	}
	return ""
}

func checkScalar(value any, _ bool) string {
	switch v := value.(type) {
	case string:
		if utf8.RuneCountInString(v) > maxText {
			return fmt.Sprintf("must have at most %d characters", maxText)
		}
		return ""
	case float64, bool:
		return ""
	}
	return "must be a text, a number, true or false"
}

func checkNumber(value any, _ bool) string {
	if _, ok := value.(float64); !ok {
		return "must be a number"
	}
	return ""
}

func checkRange(value any, _ bool) string {
	list, _ := value.([]any)
	if len(list) == 2 {
		low, ok1 := list[0].(float64)
		high, ok2 := list[1].(float64)
		if ok1 && ok2 && low <= high {
			return ""
		}
	}
	return "must be a list of two numbers, the lower one first"
}

func checkText(value any, _ bool) string {
	if text, ok := value.(string); !ok || text == "" {
		return "must be a text, not empty"
	}
	return checkScalar(value, true)
}

func checkPattern(value any, _ bool) string {
	if fault := checkText(value, true); fault != "" {
		return fault
	}
	if _, err := matches(value.(string)); err != nil {
		return "must be a regular expression (RE2): " + err.Error()
	}
	return ""
}

func checkList(value any, _ bool) string {
	list, ok := value.([]any)
	if !ok || len(list) == 0 || len(list) > maxListed {
		return fmt.Sprintf("must be a list of 1 to %d values", maxListed)
	}
	for _, v := range list {
		if fault := checkScalar(v, true); fault != "" {
			return "must be a list of texts, numbers, true or false; a text has at most " + strconv.Itoa(maxText) + " characters"
		}
	}
	return ""
}
