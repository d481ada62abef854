package rowfile

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// This program imports no format.
func TestParquetIsNamedWhereItIsMissing(t *testing.T) {
	_, err := Parquet()
	require.ErrorContains(t, err, `import _ "github.com/goprm/goprm/data/parquet"`)
	Register(Format{})
	_, err = Parquet()
	require.NoError(t, err)
}
