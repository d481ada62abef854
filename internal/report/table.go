package report

import (
	"strconv"
	"strings"
)

// Table is a table with a heading row. Columns that hold only numbers (or nothing) are set flush right.
type Table struct {
	Title   string
	Columns []string
	Rows    [][]string // shorter rows are filled with empty cells; cells beyond the columns are left out
	Folded  bool       // only the title shows until the reader opens it; it needs a title
}

// Facts are the few numbers that a reader came for.
type Facts []Fact

// Fact is one of them.
type Fact struct{ Name, Value, Note string }

func (f Facts) view() (string, any) { return "facts", f }

type cell struct {
	Text   string
	Number bool
}

type tableView struct {
	Title  string
	Folded bool
	Headed bool // a column has a heading
	Head   []cell
	Rows   [][]cell
}

func (t Table) view() (string, any) {
	v := tableView{Title: t.Title, Folded: t.Folded && t.Title != "", Head: make([]cell, len(t.Columns)), Rows: make([][]cell, len(t.Rows))}
	for c, title := range t.Columns {
		number := false
		for _, row := range t.Rows {
			if c < len(row) && row[c] != "" {
				if number = isNumber(row[c]); !number {
					break
				}
			}
		}
		v.Head[c] = cell{title, number}
		v.Headed = v.Headed || title != ""
	}
	for r, row := range t.Rows {
		v.Rows[r] = make([]cell, len(t.Columns))
		for c := range t.Columns {
			v.Rows[r][c].Number = v.Head[c].Number
			if c < len(row) {
				v.Rows[r][c].Text = row[c]
			}
		}
	}
	return "table", v
}

// isNumber takes what a table shows as a number: 12, −0.5, 93.0 %, an interval such as 0.1–0.3, a number with its interval in brackets,
// or a dash for nothing.
func isNumber(s string) bool {
	switch s {
	case "-", "–", "—":
		return true
	}
	fields := strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(" ()–%", r) })
	for _, f := range fields {
		if _, err := strconv.ParseFloat(strings.Replace(f, "−", "-", 1), 64); err != nil {
			return false
		}
	}
	return len(fields) > 0 && len(fields) <= 3
}
