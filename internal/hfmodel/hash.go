package hfmodel

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// Hash is the SHA-256, in hex, over config.json and the weights' files (with their index) of a model folder: each file's name and size
// on a line, then its content. It reads all of them every time: sizes and dates say too little about what a folder holds.
func Hash(dir string) (string, error) {
	listed, err := weightFiles(dir)
	if err != nil {
		return "", err
	}
	names := append(listed.all(), ConfigName)
	slices.Sort(names)
	sum := sha256.New()
	for _, name := range names {
		if err := hashFile(sum, dir, name); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func hashFile(sum io.Writer, dir, name string) error {
	path := filepath.Join(dir, name)
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: not a regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(sum, "%s %d\n", name, info.Size())
	if err == nil {
		var copied int64
		if copied, err = io.Copy(sum, file); err == nil && copied != info.Size() {
			err = fmt.Errorf("%s: changed while it was read", path)
		}
	}
	return errors.Join(err, file.Close())
}
