package data

import (
	"bytes"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"
)

func parquetOf[T any](t *testing.T, rows ...T) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, parquet.Write(&b, rows))
	return write(t, "a.parquet", b.Bytes())
}

// TestReadParquetErrors has bad rows among good ones, and files that are no trajectories: file and row are named as for lines.
func TestReadParquetErrors(t *testing.T) {
	type trajectory struct {
		Problem  *string `parquet:"problem,optional"`
		Thinking string  `parquet:"thinking"`
		Steps    []*int  `parquet:"response_steps,optional,list"`
	}
	p, zero := "p", 0
	path := parquetOf(t, trajectory{&p, "a", nil}, trajectory{&p, "\xff", nil}, trajectory{nil, "a", nil}, trajectory{&p, "a", []*int{&zero}},
		trajectory{&p, string(make([]byte, 300)), nil}, trajectory{&p, "b", nil})
	rows, errs := readAll(ReadOptions{MaxLine: 200}, path)
	require.Equal(t, []string{
		path + ":2: column thinking: not valid UTF-8",
		path + ":3: problem: missing (the file's first row is a trajectory row)",
		path + ":4: response_steps: not a list of strings",
		path + ":5: row too long: column thinking alone has more than the 200 bytes or 1048576 values that are read",
	}, errs)
	require.Len(t, rows, 2)
	require.Equal(t, []string{"a:1", "a:6"}, []string{rows[0].ID, rows[1].ID})

	type other struct {
		Text  string `parquet:"text"`
		Label int64  `parquet:"label"`
	}
	path = parquetOf(t, other{"a", 1}, other{"b", 2})
	_, errs = readAll(ReadOptions{}, path)
	require.Len(t, errs, 1, "an unknown kind ends the file")
	require.Contains(t, errs[0], path+":1: unknown kind of row with the fields [label, text]: a trajectory has problem,")

	n := 0
	for line, err := range Lines([]string{path}, ReadOptions{}) {
		require.NoError(t, err)
		n++
		require.Equal(t, n, line.Number)
	}
	require.Equal(t, 2, n)
}
