package aggregate

import "fmt"

// Extra counts the addresses that a fitted set has and the original had not.
type Extra struct {
	IPv4 uint64 // addresses
	IPv6 uint64 // /64s, rounded up; at most 1<<64 - 1
}

// BudgetError says that no set of prefixes within the budget covers
// everything and nothing that is to be avoided.
type BudgetError struct {
	Budget   int // what was asked for
	Smallest int // the smallest budget that can be kept
}

func (e *BudgetError) Error() string {
	return fmt.Sprintf("fit %d prefixes: the smallest possible number is %d", e.Budget, e.Smallest)
}
