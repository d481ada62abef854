// Package tokenshard keeps rendered trajectories in files that are mapped into memory: a shard holds the tokens, read-outs and windows of
// some examples, and a checksum over all of them.
//
// Read-outs lie in the file as they lie in memory, so that opening a shard makes a few words for each example and copies nothing. A shard
// is for the machine that wrote it; [Layout] is what a program has to compare.
package tokenshard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"runtime"
	"strconv"
	"unsafe"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/atomicfile"
	"github.com/goprm/goprm/internal/mmap"
	"github.com/goprm/goprm/internal/safetensors"
)

// Row is an example with what else its steps are asked for.
type Row struct {
	*data.Example
	Lengths []int32 // of each step, in code points
	Subset  string
}

// Shard is an open shard. Tokens, read-outs, windows and lengths of its rows are in the mapping: read only, gone after Close.
type Shard struct {
	Rows []Row
	Note string // the writer's own
	file *safetensors.File
}

// Layout names how read-outs lie in memory.
func Layout() string {
	var r data.ReadOut
	return fmt.Sprint("1 ", runtime.GOARCH, unsafe.Sizeof(r), unsafe.Offsetof(r.Kind), unsafe.Offsetof(r.Part), unsafe.Offsetof(r.Index),
		unsafe.Offsetof(r.Target), unsafe.Offsetof(r.HasTarget), unsafe.Offsetof(r.Weight), unsafe.Offsetof(r.Window))
}

// Names in a file. The table has a row for each example: where each of its columns ends.
const (
	tableName, readsName, lengthsName, tokensName = "examples", "reads", "lengths", "tokens"
	windowsName, problemsName, textsName          = "windows", "problems", "texts"
	sumKey, noteKey                               = "crc32c", "note"
)

var order = []string{tableName, readsName, lengthsName, tokensName, windowsName, problemsName, textsName}

// Columns of the table.
const (
	tokensEnd = iota
	readsEnd
	windowsEnd
	lengthsEnd
	idEnd
	groupEnd
	subsetEnd
	columns
)

const readBytes = int(unsafe.Sizeof(data.ReadOut{}))

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// bytesOf is the memory behind a slice.
func bytesOf[T any](list []T) []byte {
	if len(list) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(list))), len(list)*int(unsafe.Sizeof(list[0])))
}

// of is the values that lie in the bytes; those must be aligned, and their number is the caller's check.
func of[T any](b []byte) []T {
	var zero T
	if len(b) == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/int(unsafe.Sizeof(zero)))
}

// Write makes a file of the rows, whole or not at all.
func Write(path string, rows []Row, note string) error {
	parts := map[string][]byte{}
	var ends [columns]int64
	var table []byte
	add := func(name string, column int, b []byte, size int) {
		parts[name] = append(parts[name], b...)
		ends[column] = int64(len(parts[name]) / size)
	}
	for _, r := range rows {
		add(tokensName, tokensEnd, bytesOf(r.Tokens), 4)
		add(readsName, readsEnd, bytesOf(r.Reads), readBytes)
		add(windowsName, windowsEnd, bytesOf(r.Windows), 4)
		add(lengthsName, lengthsEnd, bytesOf(r.Lengths), 4)
		add(textsName, idEnd, []byte(r.ID), 1)
		add(textsName, groupEnd, []byte(r.Group), 1)
		add(textsName, subsetEnd, []byte(r.Subset), 1)
		parts[problemsName] = append(parts[problemsName], r.Problem[:]...)
		for _, end := range ends {
			table = binary.NativeEndian.AppendUint64(table, uint64(end))
		}
	}
	parts[tableName] = table
	tensors := []safetensors.Tensor{
		{Name: tableName, DType: safetensors.I64, Shape: []int{len(rows), columns}},
		{Name: readsName, DType: safetensors.I64, Shape: []int{len(parts[readsName]) / readBytes, readBytes / 8}},
		{Name: lengthsName, DType: safetensors.I32, Shape: []int{len(parts[lengthsName]) / 4}},
		{Name: tokensName, DType: safetensors.I32, Shape: []int{len(parts[tokensName]) / 4}},
		{Name: windowsName, DType: safetensors.I32, Shape: []int{len(parts[windowsName]) / 4}},
		{Name: problemsName, DType: safetensors.U8, Shape: []int{len(parts[problemsName])}},
		{Name: textsName, DType: safetensors.U8, Shape: []int{len(parts[textsName])}},
	}
	for i, t := range tensors {
		tensors[i].Data = parts[t.Name]
	}
	meta := map[string]string{noteKey: note, sumKey: checksum(note, func(name string) []byte { return parts[name] })}
	return atomicfile.WriteFile(path, func(w io.Writer) error { return safetensors.Write(w, tensors, meta) })
}

func checksum(note string, tensor func(name string) []byte) string {
	sum := crc32.Checksum([]byte(note), castagnoli)
	for _, name := range order {
		b := tensor(name)
		sum = crc32.Update(sum, castagnoli, strconv.AppendInt(nil, int64(len(b)), 10))
		sum = crc32.Update(sum, castagnoli, b)
	}
	return strconv.FormatUint(uint64(sum), 16)
}

// ErrDamaged is the error of a shard that is not what was written.
var ErrDamaged = errors.New("damaged: its content does not match its checksum")

// Open maps a shard and compares all of it with its checksum; what that read is given back to the system.
func Open(path string) (*Shard, error) {
	file, err := safetensors.Open(path)
	if err != nil {
		return nil, err
	}
	s := &Shard{Note: file.Metadata()[noteKey], file: file}
	if err := s.read(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
	}
	return s, nil
}

func (s *Shard) read() error {
	if checksum(s.Note, s.file.Bytes) != s.file.Metadata()[sumKey] {
		return ErrDamaged
	}
	table := of[int64](s.file.Bytes(tableName))
	tokens, reads := of[int32](s.file.Bytes(tokensName)), of[data.ReadOut](s.file.Bytes(readsName))
	windows, lengths := of[int32](s.file.Bytes(windowsName)), of[int32](s.file.Bytes(lengthsName))
	problems, texts := s.file.Bytes(problemsName), s.file.Bytes(textsName)
	n := len(table) / columns
	if len(problems) != n*len(data.ProblemKey{}) {
		return ErrDamaged
	}
	list := make([]data.Example, n)
	s.Rows = make([]Row, n)
	var from [columns]int64
	text := int64(0)
	for i := range list {
		to := [columns]int64(table[i*columns:])
		if !within(from, to, len(tokens), len(reads), len(windows), len(lengths)) || to[idEnd] < text || to[groupEnd] < to[idEnd] ||
			to[subsetEnd] < to[groupEnd] || int(to[subsetEnd]) > len(texts) {
			return ErrDamaged
		}
		e := &list[i]
		e.Tokens = cut(tokens, from[tokensEnd], to[tokensEnd])
		e.Reads = cut(reads, from[readsEnd], to[readsEnd])
		e.Windows = cut(windows, from[windowsEnd], to[windowsEnd])
		e.ID, e.Group = string(texts[text:to[idEnd]]), string(texts[to[idEnd]:to[groupEnd]])
		e.Problem = data.ProblemKey(problems[i*len(e.Problem):])
		s.Rows[i] = Row{e, cut(lengths, from[lengthsEnd], to[lengthsEnd]), string(texts[to[groupEnd]:to[subsetEnd]])}
		from, text = to, to[subsetEnd]
	}
	return s.release(tokens, reads)
}

func within(from, to [columns]int64, sizes ...int) bool {
	for column, size := range sizes {
		if to[column] < from[column] || to[column] > int64(size) {
			return false
		}
	}
	return true
}

// cut is a stretch of a list, nil if it is empty.
func cut[T any](list []T, from, to int64) []T {
	if from == to {
		return nil
	}
	return list[from:to:to]
}

// release gives the pages of the two large tensors back.
func (s *Shard) release(tokens []int32, reads []data.ReadOut) error {
	return errors.Join(mmap.Release(bytesOf(tokens)), mmap.Release(bytesOf(reads)))
}

// Close unmaps the shard.
func (s *Shard) Close() error { return s.file.Close() }
