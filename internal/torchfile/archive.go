package torchfile

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
)

// maxPickle bounds the pickle; a model of a thousand layers has one of about a megabyte.
const maxPickle = 64 << 20

// legacy is how files of torch before 1.6 begin: a pickle of protocol 2 with their magic number.
var legacy = []byte{0x80, 2, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19}

const saveAgain = `in Python, torch.save(torch.load("OLD", weights_only=True), "NEW") writes it anew`

// archive is the zip file around a state dict, its parts by name without the folder that all of them lie in.
type archive struct {
	pickle []byte
	parts  map[string]*zip.File
	size   int64 // of the whole file
}

func openArchive(data []byte) (*archive, error) {
	switch {
	case bytes.HasPrefix(data, legacy):
		return nil, errors.New("the format of PyTorch before 1.6 is not read; " + saveAgain)
	case !bytes.HasPrefix(data, []byte("PK")):
		return nil, errors.New("not a file that torch.save writes: it is no zip archive")
	}
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, fmt.Errorf("zip archive: %w", err)
	}
	a := &archive{parts: map[string]*zip.File{}, size: int64(len(data))}
	folder := ""
	for i, part := range r.File {
		top, name, ok := strings.Cut(part.Name, "/")
		if i == 0 {
			folder = top
		}
		if !ok || top != folder {
			return nil, fmt.Errorf("zip archive: %.80q lies outside of the folder %.80q", part.Name, folder)
		}
		if _, twice := a.parts[name]; twice {
			return nil, fmt.Errorf("zip archive: %.80q is there twice", part.Name)
		}
		a.parts[name] = part
	}
	if a.parts["constants.pkl"] != nil {
		return nil, errors.New("a TorchScript archive, which holds a program; only state dicts are read")
	}
	if order, err := a.text("byteorder"); err != nil || order != "little" {
		return nil, errors.Join(err, fmt.Errorf("byteorder %.20q: only little-endian files are read", order))
	}
	begin, size, err := a.place("data.pkl")
	if err != nil {
		return nil, err
	}
	if size > maxPickle {
		return nil, fmt.Errorf("data.pkl: %d bytes are beyond the limit of %d", size, maxPickle)
	}
	a.pickle = data[begin : begin+size]
	return a, nil
}

// verify compares every part with the CRC-32 that the archive keeps for it: a flipped bit would be another weight. 0 is none, as for
// Go's reader.
func (a *archive) verify(data []byte) error {
	for name, part := range a.parts {
		begin, size, err := a.place(name)
		if err != nil {
			return err
		}
		if sum := crc32.ChecksumIEEE(data[begin : begin+size]); part.CRC32 != 0 && sum != part.CRC32 {
			return fmt.Errorf("%s is damaged: its CRC-32 is %08x, the archive keeps %08x", name, sum, part.CRC32)
		}
	}
	return nil
}

// text is a small part's content; without the part, what its absence means: files before torch 2.1 have no byteorder.
func (a *archive) text(name string) (string, error) {
	part := a.parts[name]
	if part == nil {
		return "little", nil
	}
	if part.UncompressedSize64 > 16 {
		return "", fmt.Errorf("%s: %d bytes", name, part.UncompressedSize64)
	}
	r, err := part.Open()
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	_, err = b.ReadFrom(r)
	return b.String(), errors.Join(err, r.Close())
}

// place is where in the file a part's content lies, as it is: torch.save never compresses.
func (a *archive) place(name string) (begin, size int64, err error) {
	part := a.parts[name]
	if part == nil {
		return 0, 0, fmt.Errorf("zip archive: %s is missing", name)
	}
	if part.Method != zip.Store || part.CompressedSize64 != part.UncompressedSize64 || part.Flags&1 != 0 {
		return 0, 0, fmt.Errorf("%s: compressed or encrypted, which torch.save does not do", name)
	}
	begin, err = part.DataOffset()
	if err != nil {
		return 0, 0, fmt.Errorf("%s: %w", name, err)
	}
	if begin < 0 || begin > a.size || part.UncompressedSize64 > uint64(a.size-begin) {
		return 0, 0, fmt.Errorf("%s: %d bytes at offset %d are beyond end of file (%d)", name, part.UncompressedSize64, begin, a.size)
	}
	return begin, int64(part.UncompressedSize64), nil
}
