package label_test

import (
	"github.com/goprm/goprm/data/grade"
	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/nn/backbone"
	"github.com/goprm/goprm/nn/bert"
)

// The packages of these stages do not import this one, so that who grades or encodes alone does not link the store.
var (
	_ label.Verifier = grade.Verifier{}
	_ label.Encoder  = (*bert.Encoder)(nil)
	_ label.Encoder  = (*backbone.Encoder)(nil)
)
