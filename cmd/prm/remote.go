package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/atomicfile"
	"github.com/goprm/goprm/internal/remote"
)

// upload is an output for a store of objects, which was written to a local file.
type upload struct{ url, local string }

// scratchFile is a local path for what becomes the object of that address, gone with the command.
func scratchFile(url string) (string, error) {
	dir, err := remote.Scratch()
	if err != nil {
		return "", err
	}
	if dir, err = os.MkdirTemp(dir, "out-"); err != nil {
		return "", err
	}
	return filepath.Join(dir, filepath.Base(url)), nil
}

// writeTarget writes a file or an object, which appears when it is whole.
func writeTarget(target string, write func(io.Writer) error) error {
	if !remote.Is(target) {
		return atomicfile.WriteFile(target, write)
	}
	local, err := scratchFile(target)
	if err != nil {
		return err
	}
	if err := atomicfile.WriteFile(local, write); err != nil {
		return err
	}
	return remote.Put(target, local, false)
}

// readTarget reads what writeTarget wrote.
func readTarget(target string) ([]byte, error) {
	local, err := remote.Path(target)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(local)
}

// removeTarget removes what writeTarget wrote, if it is there.
func removeTarget(target string) error {
	if remote.Is(target) {
		return remote.Remove(target)
	}
	if err := os.Remove(target); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// notAnInput refuses an address that is an input too, or that no object can have.
func notAnInput(url string, inputs []string) error {
	if strings.HasSuffix(url, "/") || strings.ContainsAny(filepath.Base(url), "*?[") {
		return fmt.Errorf("%s: is no address of an output: it ends in a slash, or is a pattern", url)
	}
	if !slices.ContainsFunc(inputs, remote.Is) {
		return nil
	}
	files, err := data.Files(slices.DeleteFunc(slices.Clone(inputs), func(path string) bool { return !remote.Is(path) }))
	if err == nil && slices.Contains(files, url) {
		err = fmt.Errorf("%s: is an input too; it is not replaced", url)
	}
	return err
}
