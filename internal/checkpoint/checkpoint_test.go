package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/goprm/goprm/internal/atomicfile"
	"github.com/stretchr/testify/require"
)

type meta struct {
	Seed   uint64  `json:"seed"`
	Loss   float64 `json:"loss"`
	Config string  `json:"config"`
}

func metaOf(step int) meta {
	return meta{Seed: 1<<63 + uint64(step), Loss: 1 / float64(step+3), Config: "a<b & c"}
}

// filesOf are two files whose content depends on the step only, so that a reader can tell what it should hold.
func filesOf(step int) []File {
	content := func(name string, bytes int) File {
		return File{Name: name, Write: func(w io.Writer) error {
			random := rand.New(rand.NewPCG(uint64(step), uint64(bytes)))
			for range bytes / 8 {
				if err := binary.Write(w, binary.LittleEndian, random.Uint64()); err != nil {
					return err
				}
			}
			return nil
		}}
	}
	return []File{content("weights.safetensors", 4096), content("optimizer.safetensors", 8*(1+step%7))}
}

func requireIsStep(t *testing.T, found *Checkpoint, step int) {
	t.Helper()
	require.Equal(t, step, found.Step())
	var held meta
	require.NoError(t, found.Meta(&held))
	require.Equal(t, metaOf(step), held)
	require.Len(t, found.Files(), 2)
	for _, file := range filesOf(step) {
		var want bytes.Buffer
		require.NoError(t, file.Write(&want))
		stored, err := found.Open(file.Name)
		require.NoError(t, err)
		got, err := io.ReadAll(stored)
		require.NoError(t, err)
		require.NoError(t, stored.Close())
		require.Equal(t, want.Bytes(), got, file.Name)
		require.EqualValues(t, want.Len(), found.Files()[file.Name])
	}
}

func saveSteps(t *testing.T, root string, keep Keep, steps ...int) {
	t.Helper()
	for _, step := range steps {
		require.NoError(t, Save(root, step, metaOf(step), filesOf(step), keep))
	}
}

func folders(t *testing.T, root string) []string {
	t.Helper()
	entries, err := os.ReadDir(root)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	require.NoError(t, err)
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// newest returns the newest checkpoint and the lines of what was skipped.
func newest(t *testing.T, root string) (*Checkpoint, []string) {
	t.Helper()
	var lines []string
	found, err := Newest(root, func(name, reason string) { lines = append(lines, name+": "+reason) })
	if errors.Is(err, ErrNone) {
		return nil, lines
	}
	require.NoError(t, err)
	return found, lines
}

func TestSaveAndNewest(t *testing.T) {
	root := filepath.Join(t.TempDir(), "checkpoints")
	found, lines := newest(t, root)
	require.Nil(t, found)
	require.Empty(t, lines)
	saveSteps(t, root, Keep{}, 10, 20, 99999999, 100000000)
	require.Equal(t, []string{"step-00000010", "step-00000020", "step-100000000", "step-99999999"}, folders(t, root))
	found, lines = newest(t, root)
	require.Empty(t, lines)
	requireIsStep(t, found, 100000000)
	_, err := found.Open("absent")
	require.ErrorContains(t, err, `holds no file "absent"`)
	require.Error(t, found.Meta(new([]int)))
	require.Equal(t, filepath.Join(root, "step-100000000"), found.Dir())
}

func TestRetention(t *testing.T) {
	root := filepath.Join(t.TempDir(), "checkpoints")
	saveSteps(t, root, Keep{Newest: 2, Protect: []int{20}}, 10, 20, 30, 40, 50)
	require.Equal(t, []string{"step-00000020", "step-00000040", "step-00000050"}, folders(t, root))
	// A step before the newest, as after a damaged newest one: what was just written stays, whatever the number to keep.
	saveSteps(t, root, Keep{Newest: 1}, 45)
	require.Equal(t, []string{"step-00000045", "step-00000050"}, folders(t, root))
	found, err := Read(filepath.Join(root, "step-00000045"))
	require.NoError(t, err)
	requireIsStep(t, found, 45)
}

func TestSaveReplacesTheSameStep(t *testing.T) {
	root := filepath.Join(t.TempDir(), "checkpoints")
	saveSteps(t, root, Keep{}, 10, 20)
	damaged := filepath.Join(root, folderName(20), "weights.safetensors")
	require.NoError(t, os.Truncate(damaged, 4089))
	found, lines := newest(t, root)
	requireIsStep(t, found, 10)
	require.Equal(t, []string{"step-00000020: weights.safetensors: 4089 bytes, the manifest says 4096"}, lines)
	saveSteps(t, root, Keep{}, 20)
	found, lines = newest(t, root)
	requireIsStep(t, found, 20)
	require.Empty(t, lines)
	require.Len(t, folders(t, root), 2)
}

func TestFailingToRemoveIsNotFatal(t *testing.T) {
	root := filepath.Join(t.TempDir(), "checkpoints")
	saveSteps(t, root, Keep{}, 10, 20)
	disk := atomicfile.Disk{Before: func(op atomicfile.Op, path string) error {
		if op == atomicfile.Rename && strings.Contains(path, folderName(10)) {
			return syscall.EACCES
		}
		return nil
	}}
	require.NoError(t, save(disk, root, 30, metaOf(30), filesOf(30), Keep{Newest: 1}, nil))
	require.Equal(t, []string{folderName(10), folderName(30)}, folders(t, root))
}

// TestAnyOperationFails fails the first, second, third ... operation on the disk: what was there stays, and no litter.
func TestAnyOperationFails(t *testing.T) {
	for n := range 100 {
		root := filepath.Join(t.TempDir(), "checkpoints")
		saveSteps(t, root, Keep{}, 10, 20)
		operations, failed := 0, atomicfile.Op("")
		disk := atomicfile.Disk{Before: func(op atomicfile.Op, _ string) error {
			if operations++; operations == n+1 {
				failed = op
				return syscall.ENOSPC
			}
			return nil
		}}
		err := save(disk, root, 20, metaOf(20), filesOf(20), Keep{}, nil)
		found, lines := newest(t, root)
		requireIsStep(t, found, 20)
		require.Empty(t, lines)
		require.Equal(t, []string{folderName(10), folderName(20)}, folders(t, root), "after a failing %s", failed)
		if failed == "" {
			require.NoError(t, err)
			require.Greater(t, n, 10)
			return
		}
		require.ErrorIs(t, err, syscall.ENOSPC)
	}
	t.Fatal("an operation still failed after 100 attempts")
}

func TestWriterGivesUp(t *testing.T) {
	root := filepath.Join(t.TempDir(), "checkpoints")
	saveSteps(t, root, Keep{Newest: 1}, 10)
	files := append(filesOf(20), File{Name: "bad", Write: func(io.Writer) error { return errors.New("NaN in the moments") }})
	require.ErrorContains(t, Save(root, 20, nil, files, Keep{Newest: 1}), "NaN in the moments")
	require.Equal(t, []string{folderName(10)}, folders(t, root))
	for _, name := range []string{"../up", "a/b", "", "manifest.json"} {
		require.Error(t, Save(root, 20, nil, []File{{Name: name, Write: filesOf(1)[0].Write}}, Keep{}), name)
	}
	require.Error(t, Save(root, 20, nil, append(filesOf(20), filesOf(20)...), Keep{}), "the same name twice")
	require.Error(t, Save(root, 20, make(chan int), nil, Keep{}), "meta that is no JSON")
	require.Error(t, Save(root, -1, nil, nil, Keep{}))
	require.Error(t, Save(filepath.Join(root, "no", "parent"), 1, nil, nil, Keep{}))
	require.Equal(t, []string{folderName(10)}, folders(t, root))
}

func TestUnfinishedIsIgnoredAndRemoved(t *testing.T) {
	root := filepath.Join(t.TempDir(), "checkpoints")
	saveSteps(t, root, Keep{}, 10)
	dir, err := atomicfile.NewDir(filepath.Join(root, folderName(20)))
	require.NoError(t, err)
	require.NoError(t, fill(dir, 20, metaOf(20), filesOf(20), nil)) // as whole as can be, but never committed
	found, lines := newest(t, root)
	requireIsStep(t, found, 10)
	require.Empty(t, lines)
	saveSteps(t, root, Keep{}, 30)
	require.Equal(t, []string{folderName(10), folderName(30)}, folders(t, root))
}

func TestNewestSaysWhatIsWrong(t *testing.T) {
	rewrite := func(path string, change func(string) string) error {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path, []byte(change(string(text))), 0o644)
	}
	replace := func(old, new string) func(string) error {
		return func(dir string) error {
			return rewrite(filepath.Join(dir, manifestName), func(s string) string {
				if !strings.Contains(s, old) {
					panic("nothing to replace")
				}
				return strings.Replace(s, old, new, 1)
			})
		}
	}
	for reason, damage := range map[string]func(dir string) error{
		"manifest.json: no such file":                    func(dir string) error { return os.Remove(filepath.Join(dir, manifestName)) },
		"manifest.json: unexpected end of JSON":          func(dir string) error { return os.Truncate(filepath.Join(dir, manifestName), 40) },
		"manifest.json: unexpected end of JSON input":    func(dir string) error { return os.Truncate(filepath.Join(dir, manifestName), 0) },
		"format version 2, this program reads version 1": replace(`"format": 1`, `"format": 2, "more": []`),
		"no format version":                              replace(`"format": 1,`, ``),
		"unknown field":                                  replace(`"format": 1,`, `"format": 1, "more": [],`),
		"its content does not match its checksum":        replace(`"seed": 9`, `"seed": 8`),
		"weights.safetensors: missing":                   func(dir string) error { return os.Remove(filepath.Join(dir, "weights.safetensors")) },
		"weights.safetensors: 4097 bytes": func(dir string) error {
			return rewrite(filepath.Join(dir, "weights.safetensors"), func(s string) string { return s + "x" })
		},
		"weights.safetensors: damaged: its SHA-256 is": func(dir string) error {
			return rewrite(filepath.Join(dir, "weights.safetensors"), func(s string) string { return "\x00\x01" + s[2:] })
		},
		"optimizer.safetensors: not a regular file": func(dir string) error {
			p := filepath.Join(dir, "optimizer.safetensors")
			return errors.Join(os.Remove(p), os.Mkdir(p, 0o755))
		},
		"manifest is of step 30": func(dir string) error {
			return errors.Join(os.RemoveAll(dir), os.CopyFS(dir, os.DirFS(filepath.Join(filepath.Dir(dir), folderName(30)))))
		},
		"manifest.json: not a regular file of at most": func(dir string) error {
			return os.Truncate(filepath.Join(dir, manifestName),
				maxManifestBytes+1)
		},
		"weights.safetensors: not a regular file": func(dir string) error {
			p := filepath.Join(dir, "weights.safetensors")
			return errors.Join(os.Remove(p), special(p))
		},
	} {
		root := filepath.Join(t.TempDir(), "checkpoints")
		saveSteps(t, root, Keep{}, 10, 30, 40)
		require.NoError(t, damage(filepath.Join(root, folderName(40))), reason)
		found, lines := newest(t, root)
		requireIsStep(t, found, 30)
		require.Len(t, lines, 1)
		require.Contains(t, lines[0], "step-00000040: ")
		require.Contains(t, lines[0], reason)
	}
	root := filepath.Join(t.TempDir(), "checkpoints")
	saveSteps(t, root, Keep{}, 10)
	require.NoError(t, os.Rename(filepath.Join(root, folderName(10)), filepath.Join(root, "step-10")))
	found, lines := newest(t, root)
	require.Nil(t, found)
	require.Equal(t, []string{"step-10: not the name of a checkpoint, step-00000120 for one"}, lines)
}

// TestFlippedBytes changes each byte of a checkpoint in turn: either it no longer verifies, or (blanks, letter case of keys) it still
// says the same.
func TestFlippedBytes(t *testing.T) {
	root := filepath.Join(t.TempDir(), "checkpoints")
	saveSteps(t, root, Keep{}, 3)
	dir := filepath.Join(root, folderName(3))
	accepted := 0
	for _, name := range []string{manifestName, "optimizer.safetensors"} {
		path := filepath.Join(dir, name)
		whole, err := os.ReadFile(path)
		require.NoError(t, err)
		for place := range whole {
			for _, flip := range []byte{1, 32, 128} {
				changed := slices.Clone(whole)
				changed[place] ^= flip
				require.NoError(t, os.WriteFile(path, changed, 0o644))
				found, err := Read(dir)
				if err == nil {
					accepted++
					require.Equal(t, manifestName, name)
					requireIsStep(t, found, 3)
				}
			}
			require.NoError(t, os.WriteFile(path, whole[:place], 0o644))
			if _, err := Read(dir); err == nil { // only the line's end can go
				require.Equal(t, manifestName, name)
				require.Equal(t, len(whole)-1, place)
			}
		}
		require.NoError(t, os.WriteFile(path, whole, 0o644))
	}
	require.Less(t, accepted, 100, "most flips must show")
}
