// Package lfspointer knows Git LFS's pointers: the short texts that stand in the place of files which `git clone` did not bring.
package lfspointer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// prefix begins every pointer, see https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md.
var prefix = []byte("version https://git-lfs.github.com/spec/")

// Check is an error if the content is a pointer.
func Check(path string, content []byte) error {
	if !bytes.HasPrefix(content, prefix) {
		return nil
	}
	return fmt.Errorf("%s: a Git LFS pointer, not the file: run git lfs pull in its folder", path)
}

// Explain returns err, or that the file is a pointer, if it is one: whatever failed to read it, that is why.
func Explain(path string, err error) error {
	if err == nil {
		return nil
	}
	info, statErr := os.Stat(path)
	if statErr != nil || !info.Mode().IsRegular() {
		return err
	}
	file, openErr := os.Open(path)
	if openErr != nil {
		return err
	}
	begin := make([]byte, len(prefix))
	n, _ := io.ReadFull(file, begin)
	if closeErr := file.Close(); closeErr != nil {
		return errors.Join(err, closeErr)
	}
	if pointer := Check(path, begin[:n]); pointer != nil {
		return pointer
	}
	return err
}
