package hfmodel

import (
	"context"
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
func Hash(dir string) (string, error) { return HashContext(context.Background(), dir) }

// HashContext is Hash, which ends with the context.
func HashContext(ctx context.Context, dir string) (string, error) {
	listed, err := weightFiles(dir)
	if err != nil {
		return "", err
	}
	names := append(listed.all(), ConfigName)
	slices.Sort(names)
	sum := sha256.New()
	for _, name := range names {
		if err := hashFile(ctx, sum, dir, name); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func hashFile(ctx context.Context, sum io.Writer, dir, name string) error {
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
		if copied, err = io.Copy(sum, ending{ctx, file}); err == nil && copied != info.Size() {
			err = fmt.Errorf("%s: changed while it was read", path)
		}
	}
	return errors.Join(err, file.Close())
}

// ending is a reader that ends with a context.
type ending struct {
	ctx context.Context
	io.Reader
}

func (e ending) Read(p []byte) (int, error) {
	if err := e.ctx.Err(); err != nil {
		return 0, err
	}
	return e.Reader.Read(p)
}
