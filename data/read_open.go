package data

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goprm/goprm/internal/hub"
	"github.com/goprm/goprm/internal/remote"
	"github.com/klauspost/compress/zstd"
)

// dataEndings are the endings of the files that are read from a folder.
var dataEndings = []string{".jsonl", ".ndjson", ".json", ".parquet"}

// Files lists the files that Read reads for the paths: a folder stands for its files (not those of its folders)
// that end in .jsonl, .ndjson or .json, compressed or not, or .parquet, sorted by name, hidden ones left out. So does an address
// s3://bucket/folder; the last element of an address may be a pattern, as in s3://bucket/traces-*.jsonl.
func Files(paths []string) ([]string, error) {
	if len(paths) == 0 {
		return nil, errors.New("no input files")
	}
	var files []string
	for _, path := range paths {
		if path == "-" {
			files = append(files, path)
			continue
		}
		if remote.Is(path) {
			objects, err := remoteFiles(path)
			if err != nil {
				return nil, err
			}
			files = append(files, objects...)
			continue
		}
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, hub.Missing(path, hub.Dataset, "file or folder")
		}
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			files = append(files, path)
			continue
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			return nil, err
		}
		before := len(files)
		for _, e := range entries {
			if !e.IsDir() && isData(e.Name()) {
				files = append(files, filepath.Join(path, e.Name()))
			}
		}
		if len(files) == before {
			return nil, noData(path)
		}
	}
	return files, nil
}

// isData tells whether a file of that name is read from a folder.
func isData(name string) bool {
	bare := strings.TrimSuffix(strings.TrimSuffix(name, ".gz"), ".zst")
	return !strings.HasPrefix(bare, ".") && slices.Contains(dataEndings, filepath.Ext(bare))
}

func noData(folder string) error {
	return fmt.Errorf("%s: no data files in this folder (%s, plain, .gz or .zst)", folder, strings.Join(dataEndings, ", "))
}

// remoteFiles lists the files that an address in a store of objects stands for.
func remoteFiles(url string) ([]string, error) {
	files, err := remote.Files(url, isData)
	if err == nil && len(files) == 0 {
		err = noData(url)
	}
	return files, err
}

type readCloser struct {
	io.Reader
	close func() error
}

func (r readCloser) Close() error { return r.close() }

var (
	gzipMagic = []byte{0x1f, 0x8b}
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}
	bom       = []byte{0xef, 0xbb, 0xbf}
)

// maxZstdWindow bounds what a Zstandard frame may ask the decoder to hold.
const maxZstdWindow = 128 << 20

// open returns the file's decompressed bytes as a stream, and the name to use in errors.
func open(file string, opt ReadOptions) (string, io.ReadCloser, error) {
	name, raw, closeFile := file, opt.Stdin, func() error { return nil }
	if file == "-" {
		name = "stdin"
		if raw == nil {
			raw = os.Stdin
		}
	} else {
		local, err := remote.Path(file)
		if err != nil {
			return name, nil, err
		}
		f, err := os.Open(local)
		if err != nil {
			return name, nil, err
		}
		raw, closeFile = f, f.Close
	}
	in := bufio.NewReaderSize(raw, 64<<10)
	fail := func(err error) (string, io.ReadCloser, error) {
		return name, nil, errors.Join(fmt.Errorf("%s: %w", name, err), closeFile())
	}
	head, err := in.Peek(4)
	if err != nil && err != io.EOF {
		return fail(err)
	}
	isGzip, isZstd := bytes.HasPrefix(head, gzipMagic), bytes.HasPrefix(head, zstdMagic)
	switch {
	case len(head) == 0:
		return fail(errors.New("empty file"))
	case strings.HasSuffix(file, ".gz") && !isGzip:
		return fail(errors.New("named .gz, but its first bytes are not gzip's"))
	case strings.HasSuffix(file, ".zst") && !isZstd:
		return fail(errors.New("named .zst, but its first bytes are not Zstandard's"))
	case bytes.HasPrefix(head, bom):
		return fail(errors.New("begins with a byte order mark: save it as UTF-8 without one"))
	case isGzip:
		z, err := gzip.NewReader(in)
		if err != nil {
			return fail(readReason(err))
		}
		return name, readCloser{z, closeFile}, nil
	case isZstd:
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return fail(readReason(err))
		}
		return name, readCloser{z, func() error { z.Close(); return closeFile() }}, nil
	}
	return name, readCloser{in, closeFile}, nil
}

// readReason says what a decompressor's terse error means.
func readReason(err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("compressed data ends too early (cut off while written or copied?): %w", err)
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader), errors.Is(err, zstd.ErrCRCMismatch),
		errors.Is(err, zstd.ErrMagicMismatch):
		return fmt.Errorf("compressed data is damaged: %w", err)
	}
	return err
}
