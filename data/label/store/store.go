// Package store keeps what labelling has paid for: one embedded file with the values of every stage by the hash of all they
// depend on, the items still open with their reasons, and the ledger of what was spent.
//
// A call that returned nil is on the disk: kill -9 loses at most the calls in flight.
package store

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/goprm/goprm/internal/atomicfile"
	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// Version is the format of the file. A file of another version is refused.
const Version = 1

var (
	ErrInUse    = errors.New("in use by another process")
	ErrDamaged  = errors.New("damaged")
	ErrVersion  = errors.New("not a label store of this version")
	ErrConflict = errors.New("another value is stored for the key")
	ErrClosed   = errors.New("closed")
	// ErrRemoved says that the file, or its folder, was removed or replaced while it was open: what is stored now would be lost.
	ErrRemoved = errors.New("removed or replaced while it was in use")
	// ErrDamagedValue is damage to one value; the rest of the file is not touched by it.
	ErrDamagedValue = fmt.Errorf("%w: the value does not match its checksum", ErrDamaged)
)

// The buckets of the file. The sequence number of a stage's bucket is the number of its keys.
var (
	bucketFile   = []byte("file")   // format, version and id of the file
	bucketValues = []byte("values") // stage -> key -> CRC-32C, value
	bucketOpen   = []byte("open")   // stage -> key -> openRecord
	bucketSpend  = []byte("spend")  // the ledger, spend.go

	keyFormat = []byte("format")
	keyID     = []byte("id")
)

// Key names a value by everything that it depends on.
type Key [sha256.Size]byte

// NewKey hashes the parts with their lengths, so that no two lists of parts run into each other.
func NewKey(parts ...string) Key {
	h := sha256.New()
	var n [8]byte
	for _, p := range parts {
		binary.LittleEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write([]byte(p))
	}
	return Key(h.Sum(nil))
}

func (k Key) String() string { return hex.EncodeToString(k[:]) }

// Options of a store.
type Options struct {
	// Wait is how long Open waits for another process to let go of the file; 0 means one second.
	Wait time.Duration
	// ReadOnly opens an existing file for reading. Several readers share it; a writer shuts them out.
	ReadOnly bool
	// Budget is what may be spent in all, earlier runs included; a part that is 0 has no limit.
	Budget Amount
}

func (o Options) Validate() error {
	if o.Wait < 0 {
		return fmt.Errorf("store: wait is %v, must not be negative", o.Wait)
	}
	if o.Budget.Tokens < 0 || o.Budget.Nanos < 0 {
		return fmt.Errorf("store: budget %v must not be negative", o.Budget)
	}
	return nil
}

// Store is an open file. It is safe for concurrent use.
type Store struct {
	path   string
	file   os.FileInfo // what stands at path
	db     *bolt.DB
	id     string
	budget Amount

	queueMu sync.Mutex
	queue   []*request

	commitMu sync.Mutex // held by the one that commits
	closed   bool
	broken   error
}

// Open opens or creates the file at path. A file that another process holds is refused after o.Wait.
func Open(path string, o Options) (*Store, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	s := &Store{path: path, budget: o.Budget}
	if o.Wait == 0 {
		o.Wait = time.Second
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) && !o.ReadOnly {
		if err := create(path, o.Wait); err != nil {
			return nil, s.wrap(err)
		}
	}
	// The first look changes nothing, so that a file which is refused stays as it was.
	if st, err := os.Stat(path); err == nil && st.Size() > 0 {
		if err := s.open(o.Wait, true); err != nil {
			return nil, err
		}
		if o.ReadOnly {
			return s, nil
		}
		if err := s.db.Close(); err != nil {
			return nil, s.wrap(err)
		}
	} else if o.ReadOnly {
		if err == nil {
			err = fmt.Errorf("%w: the file is empty", ErrDamaged)
		}
		return nil, s.wrap(err)
	}
	if err := s.open(o.Wait, false); err != nil {
		return nil, err
	}
	return s, nil
}

// create makes an empty file whole or not at all: a full disk would leave a part of its first pages, which nothing could open. Another
// process may make it first.
func create(path string, wait time.Duration) error {
	scratch, err := atomicfile.Scratch(path)
	if err != nil {
		return err
	}
	made := filepath.Join(scratch, filepath.Base(path))
	db, err := openFile(made, wait, false)
	if err == nil {
		err = db.Close()
	}
	if err == nil {
		err = atomicfile.MoveNew(made, path)
	}
	if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	return errors.Join(err, os.RemoveAll(scratch))
}

func (s *Store) open(wait time.Duration, readOnly bool) (err error) {
	db, err := openFile(s.path, wait, readOnly)
	if err != nil {
		return s.wrap(err)
	}
	s.db = db
	if s.file, err = os.Stat(s.path); err != nil {
		return errors.Join(s.wrap(err), db.Close())
	}
	defer func() {
		if err != nil && s.broken == nil {
			err = errors.Join(err, db.Close())
		}
	}()
	if err := s.view(s.checkFile); err != nil {
		return err
	}
	if readOnly {
		return nil
	}
	return s.write(func(tx *bolt.Tx) error {
		if err := s.initFile(tx); err != nil {
			return err
		}
		return loseReservations(tx)
	})
}

func openFile(path string, wait time.Duration, readOnly bool) (db *bolt.DB, err error) {
	defer recovered(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	db, err = bolt.Open(path, 0o644, &bolt.Options{Timeout: wait, ReadOnly: readOnly, FreelistType: bolt.FreelistMapType})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		err = fmt.Errorf("%w; wait for it to end, or label into another folder", ErrInUse)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum):
		err = fmt.Errorf("%w or not a label store: %w", ErrDamaged, err)
	case errors.Is(err, bolterrors.ErrVersionMismatch):
		err = fmt.Errorf("%w: %w", ErrVersion, err)
	}
	return db, err
}

// checkFile refuses what is not a whole store of this version. A file without buckets is new, or was killed while it was made.
func (s *Store) checkFile(tx *bolt.Tx) error {
	st, err := os.Stat(s.path)
	if err != nil {
		return err
	}
	if st.Size() < tx.Size() {
		return fmt.Errorf("%w: the file has %d bytes, its last commit needs %d", ErrDamaged, st.Size(), tx.Size())
	}
	if first, _ := tx.Cursor().First(); first == nil {
		return nil
	}
	file := tx.Bucket(bucketFile)
	if file == nil {
		return fmt.Errorf("%w: it is a bbolt file of something else", ErrVersion)
	}
	if got := string(file.Get(keyFormat)); got != format() {
		return fmt.Errorf("%w: the file says %.60q, this program reads %q", ErrVersion, got, format())
	}
	s.id = string(file.Get(keyID))
	for _, b := range [][]byte{bucketValues, bucketOpen, bucketSpend} {
		if tx.Bucket(b) == nil {
			return fmt.Errorf("%w: bucket %q is missing", ErrDamaged, b)
		}
	}
	return nil
}

func format() string { return fmt.Sprintf("goprm-label-store %d", Version) }

func (s *Store) initFile(tx *bolt.Tx) error {
	if tx.Bucket(bucketFile) != nil {
		return nil
	}
	for _, name := range [][]byte{bucketFile, bucketValues, bucketOpen, bucketSpend} {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	s.id = rand.Text()
	file := tx.Bucket(bucketFile)
	if err := file.Put(keyID, []byte(s.id)); err != nil {
		return err
	}
	return file.Put(keyFormat, []byte(format()))
}

// Close waits for running calls and closes the file.
func (s *Store) Close() error {
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if s.broken != nil {
		return s.broken // bbolt may hold its locks for ever; the file's lock goes with the process
	}
	return s.wrap(s.db.Close())
}

// Get returns a copy of a stored value; false where there is none.
func (s *Store) Get(stage string, key Key) (value []byte, found bool, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketValues).Bucket([]byte(stage))
		if b == nil {
			return nil
		}
		sealed := b.Get(key[:])
		if sealed == nil {
			return nil
		}
		plain, err := unseal(stage, key[:], sealed)
		value, found = bytes.Clone(plain), err == nil
		return err
	})
	return value, found, err
}

// Put stores a value, which the caller has validated, and closes the item and the others named if they were open. A value is final:
// the same bytes may be put again, others are refused with ErrConflict. A damaged value is none, and is replaced.
func (s *Store) Put(stage string, key Key, value []byte, closes ...Key) error {
	if stage == "" {
		return s.wrap(errors.New("a stage needs a name"))
	}
	return s.write(func(tx *bolt.Tx) error {
		if err := putValue(tx, stage, key[:], seal(value)); err != nil {
			return err
		}
		for _, other := range closes {
			if err := closeItem(tx, stage, other[:]); err != nil {
				return err
			}
		}
		return nil
	})
}

func putValue(tx *bolt.Tx, stage string, key, sealed []byte) error {
	b, err := tx.Bucket(bucketValues).CreateBucketIfNotExists([]byte(stage))
	if err != nil {
		return err
	}
	old := b.Get(key)
	switch {
	case bytes.Equal(old, sealed):
		return nil
	case old != nil && intact(old):
		return fmt.Errorf("stage %q, key %x: %w", stage, key, ErrConflict)
	}
	isNew := old == nil // a put may change what old points to
	if err := b.Put(key, sealed); err != nil {
		return fatal{err}
	}
	if isNew {
		if err := b.SetSequence(b.Sequence() + 1); err != nil {
			return fatal{err}
		}
	}
	return closeItem(tx, stage, key)
}

func closeItem(tx *bolt.Tx, stage string, key []byte) error {
	open := tx.Bucket(bucketOpen).Bucket([]byte(stage))
	if open == nil || open.Get(key) == nil {
		return nil
	}
	if err := open.Delete(key); err != nil {
		return fatal{err}
	}
	return asFatal(open.SetSequence(open.Sequence() - 1))
}

// maxReason bounds what is kept of a reason, in bytes.
const maxReason = 1024

type openRecord struct {
	Reason   string `json:"reason"`
	Attempts int    `json:"attempts"`
}

// PutOpen notes that an attempt at the item failed. A stored value stays, and the note is dropped.
func (s *Store) PutOpen(stage string, key Key, reason string) error {
	if stage == "" {
		return s.wrap(errors.New("a stage needs a name"))
	}
	if len(reason) > maxReason {
		reason = reason[:maxReason]
	}
	reason = strings.ToValidUTF8(reason, "\uFFFD")
	return s.write(func(tx *bolt.Tx) error {
		return putOpen(tx, stage, key[:], func(r *openRecord) { r.Reason = reason; r.Attempts++ })
	})
}

func putOpen(tx *bolt.Tx, stage string, key []byte, change func(*openRecord)) error {
	if v := tx.Bucket(bucketValues).Bucket([]byte(stage)); v != nil {
		if old := v.Get(key); old != nil && intact(old) {
			return nil
		}
	}
	b, err := tx.Bucket(bucketOpen).CreateBucketIfNotExists([]byte(stage))
	if err != nil {
		return err
	}
	var r openRecord
	old := b.Get(key)
	if old != nil && json.Unmarshal(old, &r) != nil {
		r = openRecord{} // a damaged note is worth nothing, and is replaced
	}
	change(&r)
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := b.Put(key, text); err != nil {
		return fatal{err}
	}
	if old != nil {
		return nil
	}
	return asFatal(b.SetSequence(b.Sequence() + 1))
}

// A value is stored behind its checksum, since bbolt has none for its pages.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func seal(value []byte) []byte {
	sealed := binary.LittleEndian.AppendUint32(make([]byte, 0, 4+len(value)), crc32.Checksum(value, castagnoli))
	return append(sealed, value...)
}

func intact(sealed []byte) bool {
	return len(sealed) >= 4 && binary.LittleEndian.Uint32(sealed) == crc32.Checksum(sealed[4:], castagnoli)
}

func unseal(stage string, key, sealed []byte) ([]byte, error) {
	if !intact(sealed) {
		return nil, fmt.Errorf("stage %q, key %x: %w", stage, key, ErrDamagedValue)
	}
	return sealed[4:], nil
}

func (s *Store) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("label store %s: %w", s.path, err)
}
