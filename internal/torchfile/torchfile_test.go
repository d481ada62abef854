package torchfile

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goprm/goprm/internal/safetensors"
	"github.com/stretchr/testify/require"
)

var dtypes = map[string]safetensors.DType{
	"float64": safetensors.F64, "float32": safetensors.F32, "float16": safetensors.F16, "bfloat16": safetensors.BF16,
	"int64": safetensors.I64, "int32": safetensors.I32, "int16": safetensors.I16, "int8": safetensors.I8, "uint8": safetensors.U8,
	"bool": safetensors.Bool,
}

// The values are those that PyTorch put there (scripts/torchfile/make.py).
func TestStateDicts(t *testing.T) {
	text, err := os.ReadFile("testdata/expected.json")
	require.NoError(t, err)
	var expected map[string]map[string]struct {
		DType  string
		Shape  []int
		Values []float64
	}
	require.NoError(t, json.Unmarshal(text, &expected))
	require.Len(t, expected, 4)
	for name, tensors := range expected {
		f, err := Open(filepath.Join("testdata", name+".pt"))
		require.NoError(t, err)
		require.Len(t, f.Tensors(), len(tensors))
		for key, want := range tensors {
			info, ok := f.Info(key)
			require.True(t, ok, key)
			require.Equal(t, key, info.Name)
			require.Equal(t, dtypes[want.DType], info.DType)
			require.Equal(t, want.Shape, info.Shape, key)
			require.Equal(t, want.Values, values(t, info, f.Bytes(key)), key)
		}
		require.Nil(t, f.Bytes("absent"))
		require.NoError(t, f.Close())
		require.NoError(t, f.Close())
	}
}

func values(t *testing.T, info safetensors.Info, data []byte) []float64 {
	list := []float64{}
	if info.DType.IsFloat() {
		list, err := safetensors.AppendFloat64(list, info, data)
		require.NoError(t, err)
		return list
	}
	width := int(info.DType.Size())
	for ; len(data) > 0; data = data[width:] {
		var v int64
		for i := width - 1; i >= 0; i-- {
			v = v<<8 | int64(data[i])
		}
		if shift := 64 - 8*width; info.DType != safetensors.U8 {
			v = v << shift >> shift
		}
		list = append(list, float64(v))
	}
	return list
}

func TestRefused(t *testing.T) {
	for name, reason := range map[string]string{
		"evil":       `.system is none of the names that a state dict needs; nothing was executed`,
		"evil_key":   `.system is none of the names`,
		"nested":     `"state_dict" is a dict, not a tensor`,
		"number":     `"epoch" is a number, not a tensor`,
		"tensor":     `not a state dict but a tensor`,
		"model":      `torch.nn.modules.linear.Linear is none of the names`,
		"transposed": `shape [2 3] with strides [1 2] is not contiguous`,
		"expanded":   `with strides [0] is not contiguous`,
		"complex":    `torch.ComplexFloatStorage is none of the names`,
		"sparse":     `_rebuild_sparse_tensor is none of the names`,
		"negative":   `PyTorch's negative bit: the stored numbers are to be negated; save it after .resolve_neg()`,
		"conjugate":  `torch.ComplexFloatStorage is none of the names`,
		"imaginary":  `PyTorch's negative bit`,
		"quantized":  `is none of the names`,
		"legacy":     `PyTorch before 1.6`,
		"protocol":   `pickle protocol 4; torch.save writes 2`,
		"script":     `a TorchScript archive`,
		"compressed": `compressed or encrypted`,
	} {
		path := filepath.Join("testdata", "bad_"+name+".pt")
		_, err := Open(path)
		require.ErrorContains(t, err, reason, name)
		require.ErrorContains(t, err, path)
	}
	require.NoFileExists(t, "executed")
	for name, content := range map[string]string{"is empty": "", "no zip archive": "weights", "zip archive": "PK\x03\x04 and no more"} {
		path := filepath.Join(t.TempDir(), "a.bin")
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
		_, err := Open(path)
		require.ErrorContains(t, err, name)
	}
	_, err := Open(t.TempDir())
	require.ErrorContains(t, err, "not a regular file")
}

// archiveOf packs parts as torch.save does.
func archiveOf(t testing.TB, pickle string, parts map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	parts["data.pkl"] = pickle
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		part, err := w.CreateHeader(&zip.FileHeader{Name: "x/" + name, Method: zip.Store})
		require.NoError(t, err)
		_, err = part.Write([]byte(parts[name]))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

// tensorOf is a pickle of {"w": tensor} over a float storage "0" of 4 elements.
func tensorOf(elements, offset, dim, stride string) string {
	return "\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00stora" +
		"gectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu" +
		elements + "tQ" + offset + dim + "\x85" + stride + "\x85\x89ccollections\nOrderedDict\n)RtRs."
}

func TestNumbersThatDoNotFit(t *testing.T) {
	int1 := func(v byte) string { return "K" + string([]byte{v}) }
	four := string(make([]byte, 16))
	for _, c := range []struct{ pickle, reason string }{
		{tensorOf(int1(4), int1(1), int1(3), int1(1)), ""},
		{tensorOf(int1(4), int1(1), int1(4), int1(1)), "offset 131: a tensor of shape [4] at element 1 is beyond the end of its storage of 4"},
		{tensorOf(int1(4), "J\xff\xff\xff\xff", int1(4), int1(1)), "beyond the end"},
		{tensorOf(int1(5), int1(0), int1(4), int1(1)), "data/0: 16 bytes for 5 elements of F32"},
		{tensorOf("J\xff\xff\xff\xff", int1(0), int1(4), int1(1)), "for -1 elements"},
		{tensorOf("\x8a\x08\x04\x00\x00\x00\x00\x00\x00\x40", int1(0), int1(4), int1(1)), "16 bytes for 4611686018427387908 elements"},
		{tensorOf(int1(4), int1(0), "J\xff\xff\xff\xff", int1(1)), "numbers of at least 0"},
		{tensorOf(int1(4), int1(0), "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f", int1(1)), "too many elements"},
		{tensorOf(int1(4), int1(0), int1(2), int1(2)), "not contiguous"},
		{"\x80\x02}K\x01K\x02s.", "a key of the state dict is a number"},
		{"\x80\x02}.more", "4 bytes follow its end at offset 4"},
		{"\x80\x02}}.", "1 objects are left over"},
		{"\x80\x02(.", "a marker where an object is expected"},
		{"\x80\x02h\x07.", "entry 7 of the memo was never stored"},
		{"\x80\x02K\x01K\x02K\x03s.", "no dict"},
		{"\x80\x02}(K\x01u.", "a key without a value"},
		{"\x80\x02X\xff\xff\xff\xffabc", "a text of 4294967295 bytes"},
		{"\x80\x02cos\nsystem\n", "os.system is none"},
		{"\x80\x02c" + strings.Repeat("long", 100) + "\n\n.", "..."},
		{"\x80\x02i", "instruction 0x69 is none"},
		{"\x80\x02", "in the middle of an instruction"},
		{"\x80\x02ccollections\nOrderedDict\nK\x01\x85R.", "collections OrderedDict with 1 operands"},
		{"\x80\x02K\x01)R.", "a call of something that is no name"},
		{"\x80\x02K\x01}b.", "state for something that is no dict"},
		{"\x80\x02K\x01Q.", "a reference that is no tuple"},
		{"\x80\x02K\x01\x85Q.", "a reference that is no storage"},
	} {
		f, err := parse(archiveOf(t, c.pickle, map[string]string{"data/0": four, "byteorder": "little"}))
		if c.reason == "" {
			require.NoError(t, err)
			require.Len(t, f.Bytes("w"), 12)
			continue
		}
		require.ErrorContains(t, err, c.reason, "%q", c.pickle)
	}
	good := tensorOf(int1(4), int1(0), int1(4), int1(1))
	_, err := parse(archiveOf(t, good, map[string]string{"data/0": four, "byteorder": "big"}))
	require.ErrorContains(t, err, `byteorder "big"`)
	_, err = parse(archiveOf(t, good, map[string]string{"byteorder": "little"}))
	require.ErrorContains(t, err, "data/0 is missing")
}

// A flipped bit in any part is found, and never more than an error.
func TestChecksums(t *testing.T) {
	content, err := os.ReadFile("testdata/module.pt")
	require.NoError(t, err)
	f, err := parse(content)
	require.NoError(t, err)
	f.Bytes("0.weight")[1] ^= 1
	_, err = parse(content)
	require.ErrorContains(t, err, "is damaged: its CRC-32 is")
	f.Bytes("0.weight")[1] ^= 1
	at := bytes.Index(content, []byte("0.weight"))
	content[at] ^= 1 // in the pickle
	_, err = parse(content)
	require.ErrorContains(t, err, "data.pkl is damaged")
}

// What a pickle says about a tensor beyond its place is refused unless it says nothing: torch 2.15.0 negates and conjugates by it.
func TestMetadataOfTensors(t *testing.T) {
	plain := tensorOf("K\x04", "K\x00", "K\x04", "K\x01")
	text := func(s string) string { return "X" + string([]byte{byte(len(s)), 0, 0, 0}) + s }
	with := func(metadata string) string { return strings.Replace(plain, ")RtRs.", ")R"+metadata+"tRs.", 1) }
	for _, c := range []struct{ pickle, reason string }{
		{with("}"), ""},
		{with("N"), ""},
		{with("}" + text("neg") + "\x89s"), ""},
		{with("}(" + text("neg") + "\x88u"), "PyTorch's negative bit"},
		{with("}" + text("conj") + "\x88s"), "PyTorch's conjugate bit"},
		{with("}" + text("neg") + "K\x01s"), "PyTorch's negative bit"},
		{with("}" + text("scale") + "K\x02s"), "metadata that is not understood: scale"},
		{with("K\x01"), "a tensor's metadata is a number"},
		{strings.Replace(plain, "\x89c", "K\x07c", 1), "requires_grad is a number"},
		{strings.Replace(plain, ")RtRs.", ")R}"+text("h")+"K\x01stRs.", 1), "metadata that is not understood: h"},
		{strings.Replace(plain, "ccollections\nOrderedDict\n)RtRs.", "}"+text("h")+"K\x01stRs.", 1), "a tensor with backward hooks"},
		{strings.TrimSuffix(plain, ".") + "}" + text("_metadata") + "}sb.", ""},
		{strings.TrimSuffix(plain, ".") + "}" + text("scale") + "K\x02sb.", "a dict with attributes other than _metadata"},
	} {
		_, err := parse(archiveOf(t, c.pickle, map[string]string{"data/0": string(make([]byte, 16)), "byteorder": "little"}))
		if c.reason == "" {
			require.NoError(t, err, "%q", c.pickle)
			continue
		}
		require.ErrorContains(t, err, c.reason, "%q", c.pickle)
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.pt")
	require.NoError(f, err)
	for _, file := range files {
		content, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(content)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		checkFile(t, content)
		if len(content) < 1<<12 { // as a pickle too, which the mutations of an archive hardly reach
			checkFile(t, archiveOf(t, string(content), map[string]string{"data/0": "0123456789abcdef"}))
		}
	})
}

func checkFile(t *testing.T, content []byte) {
	file, err := parse(content)
	if err != nil {
		require.Less(t, len(err.Error()), 2000)
		return
	}
	for _, info := range file.Tensors() {
		require.Len(t, file.Bytes(info.Name), int(info.Bytes()))
		elements := int64(1)
		for _, n := range info.Shape {
			elements *= int64(n)
		}
		require.Equal(t, elements*info.DType.Size(), info.Bytes(), fmt.Sprint(info))
	}
}
