package served

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// This program imports no server.
func TestServerIsNamedWhereItIsMissing(t *testing.T) {
	_, err := New(nil, Options{})
	require.ErrorContains(t, err, `import _ "github.com/goprm/goprm/prm/server"`)
	Register(func(Model, Options) (Server, error) { return nil, nil })
	_, err = New(nil, Options{})
	require.NoError(t, err)
}
