package checkpoint

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"path/filepath"
	"slices"

	"github.com/goprm/goprm/internal/atomicfile"
)

// File is one file of a checkpoint to save.
type File struct {
	Name  string
	Write func(io.Writer) error
}

// Keep says which checkpoints stay after a save.
type Keep struct {
	Newest  int   // how many of the newest; 0: all
	Protect []int // further steps, such as the best one's
}

// Save writes the checkpoint of a step under root, which is made if its parent exists; one that is already there for that step is
// replaced. meta is kept in the manifest as JSON. Then it removes the checkpoints that keep does not name; the one just written is
// never removed, and what cannot be removed is logged and left.
//
// After an error the other checkpoints are as they were and nothing of the new one is left, except when only the last flush failed:
// then it is there and whole.
func Save(root string, step int, meta any, files []File, keep Keep) error {
	return save(atomicfile.Disk{}, root, step, meta, files, keep, nil)
}

// Together is how other processes add files to a checkpoint before it is whole: it is called with the folder in the making and what writes
// this process's files, and returns the other files, which [WriteFile] wrote.
type Together func(dir string, own func() error) (map[string]Entry, error)

// SaveTogether is [Save] with files of other processes.
func SaveTogether(root string, step int, meta any, files []File, keep Keep, together Together) error {
	return save(atomicfile.Disk{}, root, step, meta, files, keep, together)
}

// WriteFile adds a file to a checkpoint that another process makes in dir.
func WriteFile(dir string, file File) (Entry, error) {
	if !plainName(file.Name) {
		return Entry{}, fmt.Errorf("%q is not a name for a file of a checkpoint", file.Name)
	}
	return measured(file, func(write func(io.Writer) error) error {
		return atomicfile.WriteFile(filepath.Join(dir, file.Name), write)
	})
}

// measured writes a file by write and says what was written.
func measured(file File, write func(func(io.Writer) error) error) (Entry, error) {
	written := measure{sum: sha256.New()}
	err := write(func(w io.Writer) error {
		written.to = w
		return file.Write(&written)
	})
	return Entry{written.size, hex.EncodeToString(written.sum.Sum(nil))}, err
}

func save(disk atomicfile.Disk, root string, step int, meta any, files []File, keep Keep, together Together) error {
	if step < 0 {
		return fmt.Errorf("%s: step %d is negative", root, step)
	}
	if err := disk.MakeFolder(root); err != nil {
		return err
	}
	if err := atomicfile.RemoveLeftovers(root); err != nil {
		slog.Warn("unfinished checkpoints could not be removed", "folder", root, "error", err)
	}
	dir, err := disk.NewDir(filepath.Join(root, folderName(step)))
	if err != nil {
		return err
	}
	if err := fill(dir, step, meta, files, together); err != nil {
		return errors.Join(err, dir.Abort())
	}
	if err := dir.Replace(); err != nil {
		return err
	}
	removeOld(disk, root, step, keep)
	return nil
}

func fill(dir *atomicfile.Dir, step int, meta any, files []File, together Together) error {
	text, err := json.Marshal(meta)
	if err != nil {
		return fmt.Errorf("meta of step %d: %w", step, err)
	}
	m := manifest{Format: formatVersion, Step: step, Files: map[string]Entry{}, Meta: text}
	own := func() error {
		for _, file := range files {
			if !plainName(file.Name) {
				return fmt.Errorf("%q is not a name for a file of a checkpoint", file.Name)
			}
			var err error
			m.Files[file.Name], err = measured(file, func(write func(io.Writer) error) error { return dir.WriteFile(file.Name, write) })
			if err != nil {
				return err
			}
		}
		return nil
	}
	if together == nil {
		err = own()
	} else {
		var others map[string]Entry
		others, err = together(dir.Path(), own)
		for name, entry := range others {
			m.Files[name] = entry
		}
	}
	if err != nil {
		return err
	}
	encoded, err := m.encode()
	if err != nil {
		return err
	}
	return dir.WriteFile(manifestName, writeAll(encoded))
}

func writeAll(b []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	}
}

// measure counts and hashes what passes through.
type measure struct {
	to   io.Writer
	sum  hash.Hash
	size int64
}

func (m *measure) Write(p []byte) (int, error) {
	n, err := m.to.Write(p)
	m.sum.Write(p[:n])
	m.size += int64(n)
	return n, err
}

// removeOld never fails the run: a checkpoint too many does no harm.
func removeOld(disk atomicfile.Disk, root string, saved int, keep Keep) {
	if keep.Newest <= 0 {
		return
	}
	steps, _, err := list(root)
	if err != nil {
		slog.Warn("old checkpoints were not looked for", "folder", root, "error", err)
		return
	}
	for _, step := range steps[:max(0, len(steps)-keep.Newest)] {
		if step == saved || slices.Contains(keep.Protect, step) {
			continue
		}
		if err := disk.Remove(filepath.Join(root, folderName(step))); err != nil {
			slog.Warn("an old checkpoint could not be removed", "error", err)
		}
	}
}
