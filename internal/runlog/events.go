package runlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sort"
	"time"
)

// Events writes scalars as a TensorBoard event file: TFRecord frames around Event messages (tensorflow/core/util/event.proto,
// summary.proto), of which only the handful of fields below are needed.
type Events struct {
	file *os.File
	now  func() time.Time
}

// OpenEvents makes a new event file in dir, which is made too when it is not there. TensorBoard reads all files of a
// folder as one run; those of a run that was resumed at step after are told to forget what earlier files hold past it.
// 0 stands for a fresh run.
func OpenEvents(dir string, after int) (*Events, error) {
	return openEvents(dir, after, time.Now)
}

func openEvents(dir string, after int, now func() time.Time) (*Events, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	file, err := newEventFile(dir, now().Unix())
	if err != nil {
		return nil, err
	}
	e := &Events{file: file, now: now}
	err = e.record(stringField(nil, 3, "brain.Event:2")) // Event.file_version
	if err == nil && after > 0 {
		const start = 1 // SessionLog.START: what is at this step or later in earlier files has not happened
		event := varintField(nil, 2, uint64(after)+1)
		err = e.record(bytesField(event, 7, varintField(nil, 1, start)))
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return e, nil
}

// newEventFile numbers the file, so that two runs begun within a second do not meet in one.
func newEventFile(dir string, seconds int64) (*os.File, error) {
	for n := 0; n < 1000; n++ {
		name := filepath.Join(dir, fmt.Sprintf("events.out.tfevents.%d.goprm.%d", seconds, n))
		file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if !errors.Is(err, fs.ErrExist) {
			return file, err
		}
	}
	return nil, fmt.Errorf("%s: a thousand event files were begun in this second", dir)
}

// Scalars writes one value a tag at the given step, the tags in alphabetical order. NaN is written too: TensorBoard marks it.
func (e *Events) Scalars(step int, values map[string]float64) error {
	tags := make([]string, 0, len(values))
	for tag := range values {
		tags = append(tags, tag)
	}
	sort.Strings(tags)
	var summary []byte
	for _, tag := range tags {
		value := stringField(nil, 1, tag)                  // Summary.Value.tag
		value = floatField(value, 2, float32(values[tag])) // Summary.Value.simple_value
		summary = bytesField(summary, 1, value)            // Summary.value
	}
	event := varintField(nil, 2, uint64(int64(step))) // Event.step
	return e.record(bytesField(event, 5, summary))    // Event.summary
}

// Close flushes the file to the disk and closes it.
func (e *Events) Close() error { return errors.Join(e.file.Sync(), e.file.Close()) }

// record adds the wall time to an Event and writes it in one frame, with one call, so that a killed process leaves at
// most one torn frame at the end, which readers skip.
func (e *Events) record(event []byte) error {
	seconds := float64(e.now().UnixMicro()) / 1e6
	payload := binary.LittleEndian.AppendUint64([]byte{1<<3 | wireFixed64}, math.Float64bits(seconds)) // Event.wall_time
	_, err := e.file.Write(frame(append(payload, event...)))
	return err
}

// frame is a TFRecord: length, masked CRC of the length, payload, masked CRC of the payload.
func frame(payload []byte) []byte {
	out := binary.LittleEndian.AppendUint64(make([]byte, 0, len(payload)+16), uint64(len(payload)))
	out = binary.LittleEndian.AppendUint32(out, maskedCRC(out))
	out = append(out, payload...)
	return binary.LittleEndian.AppendUint32(out, maskedCRC(payload))
}

// maskedCRC is CRC32C rotated and shifted, since a CRC over data that holds CRCs is weak (tensorflow/core/lib/hash/crc32c.h).
func maskedCRC(b []byte) uint32 {
	crc := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
	return (crc>>15 | crc<<17) + 0xa282ead8
}

// Protocol buffer wire types.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

func varintField(to []byte, field byte, v uint64) []byte {
	return binary.AppendUvarint(append(to, field<<3|wireVarint), v)
}

func bytesField(to []byte, field byte, v []byte) []byte {
	return append(binary.AppendUvarint(append(to, field<<3|wireBytes), uint64(len(v))), v...)
}

func stringField(to []byte, field byte, v string) []byte { return bytesField(to, field, []byte(v)) }

func floatField(to []byte, field byte, v float32) []byte {
	return binary.LittleEndian.AppendUint32(append(to, field<<3|wireFixed32), math.Float32bits(v))
}
