package prm

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Reports know runs and results by their JSON. A key that is written under another name now no longer fits the files that reports are
// tested with.
func TestReportsKnowTheWrittenForms(t *testing.T) {
	for name, form := range map[string]any{filepath.Join("run", recordName): &runRecord{}, "bestofn.json": &BestOfNResult{}} {
		file, err := os.Open(filepath.Join("..", "internal", "report", "inputs", "testdata", name))
		require.NoError(t, err)
		strict := json.NewDecoder(file)
		strict.DisallowUnknownFields()
		require.NoError(t, strict.Decode(form), name)
		require.NoError(t, file.Close())
	}
}
