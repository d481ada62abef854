package tokenshard

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/stretchr/testify/require"
)

func some() []Row {
	return []Row{
		{&data.Example{ID: "a", Tokens: []int32{5, 6, 7}, Problem: data.KeyOf("p"), Reads: []data.ReadOut{
			{Pos: 1, Kind: data.KindStep, Part: data.PartResponse, Index: 3, Target: -0.25, HasTarget: true, Weight: 2, Window: 1},
			{Pos: 2, Kind: data.KindTrajectory, Part: data.PartTrajectory, Index: -1, Weight: math.Inf(1)},
		}}, []int32{4, 9, 1, 0}, "gsm8k"},
		{&data.Example{Tokens: []int32{1 << 30}, Problem: data.KeyOf("")}, nil, ""},
		{&data.Example{ID: "ü", Group: "pair", Tokens: []int32{8, 9}, Windows: []int32{1}, Reads: []data.ReadOut{{}}}, []int32{7}, ""},
	}
}

func TestShard(t *testing.T) {
	for name, rows := range map[string][]Row{"some": some(), "none": {}, "one": some()[1:2]} {
		path := filepath.Join(t.TempDir(), "shard")
		require.NoError(t, Write(path, rows, "a note"))
		s, err := Open(path)
		require.NoError(t, err, name)
		require.Equal(t, rows, s.Rows, name)
		require.Equal(t, "a note", s.Note)
		require.NoError(t, s.Close())
	}
}

// Any changed bit, and any lost byte, is noticed.
func TestDamageIsNoticed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shard")
	require.NoError(t, Write(path, some(), "a note"))
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	for at := range whole {
		broken := append([]byte{}, whole...)
		broken[at] ^= 1 << (at % 8)
		require.NoError(t, os.WriteFile(path, broken, 0o666))
		s, err := Open(path)
		if err == nil { // a name in the header may change, if it is none that is read
			require.Equal(t, some(), s.Rows, "byte %d", at)
			require.NoError(t, s.Close())
			t.Fatalf("byte %d of %d: not noticed", at, len(whole))
		}
	}
	for _, size := range []int{0, 7, len(whole) / 2, len(whole) - 1} {
		require.NoError(t, os.WriteFile(path, whole[:size], 0o666))
		_, err := Open(path)
		require.Error(t, err, size)
	}
	_, err = Open(filepath.Join(t.TempDir(), "none"))
	require.True(t, errors.Is(err, os.ErrNotExist))
}
