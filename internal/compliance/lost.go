package compliance

import (
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/mmap"
	"github.com/stretchr/testify/require"
)

// lostInputs launches the call once for each input, which lies in a mapped file that is cut in half after the call was compiled: in the
// middle of the kernel's work, if the half is a page. A kernel that meets the fault must end with the file's name, on whatever
// goroutine it was, and the backend must be as good as before. It tells whether the op met any.
func lostInputs(t *testing.T, d device, c *call) (met bool) {
	t.Helper()
	if _, shares := d.Backend.(engine.SharesHostMemory); !shares {
		return true
	}
	for i, v := range c.in {
		launch, ec := d.prepare(t, c, placement{})
		mapping, file := mapped(t, encode(v))
		require.NoError(t, ec.In[i].Point(engine.NewTensor(unsafe.Pointer(unsafe.SliceData(mapping.Data)), v.dtype, v.shape, mapping)))
		page := int64(os.Getpagesize())
		require.NoError(t, os.Truncate(file, int64(len(mapping.Data)/2)/page*page))
		if err := launch(); err != nil { // none: the kernel has no use for this input, or for the half that is gone
			var fault *mmap.FaultError
			require.ErrorAs(t, err, &fault, "input %d", i)
			require.Equal(t, file, fault.Path)
			require.ErrorContains(t, err, c.op)
			met = true
		}
		require.NoError(t, mapping.Close())
	}
	return met
}

// mapped is a new file with the content.
func mapped(t *testing.T, content []byte) (*mmap.Mapping, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "weights")
	require.NoError(t, os.WriteFile(path, content, 0o600))
	file, err := os.Open(path)
	require.NoError(t, err)
	m, err := mmap.Map(path, file, len(content))
	require.NoError(t, err)
	require.NoError(t, file.Close())
	return m, path
}
