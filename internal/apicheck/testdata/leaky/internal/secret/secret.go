// Package secret is what the package leaky leaks.
package secret

// T is a type that no program outside can name.
type T struct{ Value int }

// Get is a method that embedding promotes.
func (T) Get() Part { return Part{} }

// Part is what Get returns.
type Part struct{}

// Kind is a type of constants.
type Kind int

// One is a constant.
const One Kind = 1

// Bound is a constraint.
type Bound interface{ ~int }

// List is generic.
type List[E any] []E

// Plain is an alias of a type that everybody can name.
type Plain = int
