package execjudge

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// hashFiles is a hash of the files that a command names, as an argument or as --flag=FILE, or "none". The program itself counts
// where it is given by a path, not where PATH finds it.
func hashFiles(command []string) (string, error) {
	all, found := sha256.New(), false
	for i, arg := range command {
		names := []string{arg}
		if _, value, flag := strings.Cut(arg, "="); flag {
			names = append(names, value)
		}
		if i == 0 && filepath.Base(arg) == arg {
			continue
		}
		for _, name := range names {
			st, err := os.Stat(name)
			if err != nil || !st.Mode().IsRegular() {
				continue // an argument that is no file
			}
			sum, err := hashFile(name)
			if err != nil {
				return "", err
			}
			found = true
			_, _ = fmt.Fprintf(all, "%d %x\n", i, sum) // a hash's Write never fails
		}
	}
	if !found {
		return "none", nil
	}
	return hex.EncodeToString(all.Sum(nil)), nil
}

func hashFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // nothing was written
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return nil, err
	}
	return h.Sum(nil), nil
}
