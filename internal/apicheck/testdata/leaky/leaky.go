// Package leaky reaches types of an internal package in every way that there is, in names that begin with Bad, and in
// none of the others.
package leaky

import (
	"iter"

	"github.com/goprm/goprm/internal/apicheck/testdata/leaky/internal/secret"
)

const BadConst = secret.One

var BadVar []map[string]*secret.T

func BadParameter(f func(secret.T) error) {}

func BadResult() (n int, c chan secret.T) { return 0, nil }

func BadVariadic(list ...secret.T) {}

func BadBound[T secret.Bound](t T) T { return t }

func BadArgument() iter.Seq2[*secret.T, error] { return nil }

func BadHidden() *hidden { return nil }

type BadAlias = secret.T

type BadPlainAlias = secret.Plain

type BadGenericAlias[E any] = secret.List[E]

type BadField struct {
	Good int
	Bad  secret.T
}

type BadEmbedded struct{ secret.T }

type BadEmbeddedPointer struct{ *secret.T }

type BadEmbeddedAlias struct{ concealed }

type concealed = secret.T

type BadEmbeddedHidden struct{ hidden }

type hidden struct{ Bad secret.T }

// Bad is a method of an unexported type that an exported function returns.
func (hidden) Bad2() secret.T { return secret.T{} }

type BadParameterBound[T secret.Bound] struct{}

type BadInstance struct{ Field Box[secret.T] }

type BadLiteral struct{ Field struct{ Inner secret.T } }

type BadInterface interface{ Method(secret.T) }

type BadEmbeds interface{ secret.Bound }

type BadUnion interface{ int | secret.Kind }

type BadSlice []secret.T

type BadMethod int

func (*BadMethod) Method() secret.T { return secret.T{} }

// Box is generic.
type Box[E any] struct{ Content E }

// Good leaks nothing: what is unexported stays inside.
type Good struct {
	inside secret.T
	Open   int
}

func (Good) unexported() secret.T { return secret.T{} }

// Get is exported.
func (g *Good) Get(names ...string) (value float64, err error) { return 0, nil }

// Sealed has a method that nobody outside can implement.
type Sealed interface {
	Name() string
	sealed(secret.T)
}

// Recursive types end.
type Recursive struct{ Next *Recursive }

const Text = "a\nb"

var ErrGood error

func Use() any { return Good{}.inside }
