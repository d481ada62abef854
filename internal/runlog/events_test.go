package runlog

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// decoded is an Event as the tests' own reader sees it: fields by number, nested messages as bytes.
type decoded map[int][]any

// parse reads a protocol buffer message without knowing its schema.
func parse(t *testing.T, b []byte) decoded {
	t.Helper()
	out := decoded{}
	for len(b) > 0 {
		key, n := binary.Uvarint(b)
		require.Positive(t, n)
		b = b[n:]
		var value any
		switch key & 7 {
		case 0:
			v, n := binary.Uvarint(b)
			require.Positive(t, n)
			value, b = int64(v), b[n:]
		case 1:
			value, b = math.Float64frombits(binary.LittleEndian.Uint64(b)), b[8:]
		case 2:
			size, n := binary.Uvarint(b)
			require.Positive(t, n)
			value, b = b[n:n+int(size)], b[n+int(size):]
		case 5:
			value, b = math.Float32frombits(binary.LittleEndian.Uint32(b)), b[4:]
		default:
			require.Fail(t, "unknown wire type")
		}
		out[int(key>>3)] = append(out[int(key>>3)], value)
	}
	return out
}

// slowCRC is CRC32C bit by bit from its polynomial.
func slowCRC(b []byte) uint32 {
	crc := ^uint32(0)
	for _, x := range b {
		crc ^= uint32(x)
		for range 8 {
			low := crc & 1
			crc >>= 1
			if low == 1 {
				crc ^= 0x82f63b78
			}
		}
	}
	return ^crc
}

func unmask(m uint32) uint32 { r := m - 0xa282ead8; return r>>17 | r<<15 }

func readEvents(t *testing.T, path string) []decoded {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	var events []decoded
	for len(b) > 0 {
		size := binary.LittleEndian.Uint64(b)
		require.Equal(t, slowCRC(b[:8]), unmask(binary.LittleEndian.Uint32(b[8:])))
		payload := b[12 : 12+size]
		require.Equal(t, slowCRC(payload), unmask(binary.LittleEndian.Uint32(b[12+size:])))
		events = append(events, parse(t, payload))
		b = b[16+size:]
	}
	return events
}

func TestCRCVectors(t *testing.T) {
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	for want, b := range map[uint32][]byte{ // RFC 3720, B.4, and the usual check value
		0xe3069283: []byte("123456789"),
		0x8a9136aa: make([]byte, 32),
	} {
		require.Equal(t, want, slowCRC(b))
		require.Equal(t, want, crc32.Checksum(b, castagnoli))
		require.Equal(t, want, unmask(maskedCRC(b)))
	}
	// Every event file that TensorFlow writes begins with these bytes: a frame of 24 bytes and the masked CRC of that length.
	require.Equal(t, []byte{0x18, 0, 0, 0, 0, 0, 0, 0, 0xa3, 0x7f, 0x4b, 0x22}, frame(make([]byte, 24))[:12])
}

func TestEvents(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tb")
	clock := func() time.Time { return time.Unix(1700000000, 250_000_000) }
	e, err := openEvents(dir, 0, clock)
	require.NoError(t, err)
	require.NoError(t, e.Scalars(300, map[string]float64{"train/loss": 0.5, "eval/within_auroc": math.NaN()}))
	require.NoError(t, e.Close())
	again, err := openEvents(dir, 200, clock)
	require.NoError(t, err)
	require.NoError(t, again.Close())

	files, err := filepath.Glob(filepath.Join(dir, "events.out.tfevents.1700000000.*"))
	require.NoError(t, err)
	require.Len(t, files, 2)

	events := readEvents(t, files[0])
	require.Len(t, events, 2)
	require.Equal(t, decoded{1: {1700000000.25}, 3: {[]byte("brain.Event:2")}}, events[0])
	require.Equal(t, []any{int64(300)}, events[1][2])
	summary := parse(t, events[1][5][0].([]byte))
	require.Len(t, summary[1], 2)
	first, second := parse(t, summary[1][0].([]byte)), parse(t, summary[1][1].([]byte))
	require.Equal(t, []any{[]byte("eval/within_auroc")}, first[1])
	require.True(t, math.IsNaN(float64(first[2][0].(float32))))
	require.Equal(t, decoded{1: {[]byte("train/loss")}, 2: {float32(0.5)}}, second)

	events = readEvents(t, files[1])
	require.Len(t, events, 2)
	require.Equal(t, []any{int64(201)}, events[1][2], "what earlier files hold from step 201 on has not happened")
	require.Equal(t, decoded{1: {int64(1)}}, parse(t, events[1][7][0].([]byte)))
}

func TestEventsOfPlugins(t *testing.T) {
	dir := t.TempDir()
	e, err := openEvents(dir, 0, func() time.Time { return time.Unix(1700000000, 0) })
	require.NoError(t, err)
	require.NoError(t, e.HParams(map[string]any{"optim.lr": 0.5, "train": "lora"}))
	require.NoError(t, e.Text(3, "samples/a", "one ⟦⟧"))
	require.NoError(t, e.Close())
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	events := readEvents(t, files[0])
	require.Len(t, events, 3)
	value := func(i int) (tag string, tensor decoded, plugin decoded) {
		v := parse(t, parse(t, events[i][5][0].([]byte))[1][0].([]byte))
		metadata := parse(t, v[9][0].([]byte))
		return string(v[1][0].([]byte)), parse(t, v[8][0].([]byte)), parse(t, metadata[1][0].([]byte))
	}
	tag, _, plugin := value(1)
	require.Equal(t, "_hparams_/session_start_info", tag)
	require.Equal(t, []any{[]byte("hparams")}, plugin[1])
	start := parse(t, parse(t, plugin[2][0].([]byte))[3][0].([]byte))
	require.Equal(t, []any{1.7e9}, start[5])
	rate := parse(t, start[1][0].([]byte))
	require.Equal(t, []any{[]byte("optim.lr")}, rate[1])
	require.Equal(t, decoded{2: {0.5}}, parse(t, rate[2][0].([]byte)))
	require.Equal(t, decoded{3: {[]byte("lora")}}, parse(t, parse(t, start[1][1].([]byte))[2][0].([]byte)))
	tag, tensor, plugin := value(2)
	require.Equal(t, "samples/a", tag)
	require.Equal(t, []any{int64(7)}, tensor[1])
	require.Equal(t, []any{[]byte("one ⟦⟧")}, tensor[8])
	require.Equal(t, []any{[]byte("text")}, plugin[1])
}
