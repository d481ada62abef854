package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"github.com/goprm/goprm/data/grade"
)

func main() {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<26)
	for in.Scan() {
		var r struct{ Gold, Pred string }
		if err := json.Unmarshal(in.Bytes(), &r); err != nil {
			panic(err)
		}
		v := grade.Equal(r.Gold, r.Pred)
		e, _ := grade.Extract(r.Pred)
		out, _ := json.Marshal(map[string]any{"equal": map[grade.Decision]any{grade.Yes: true, grade.No: false, grade.Undecided: nil}[v.Equal], "reason": v.Reason, "x": e})
		fmt.Println(string(out))
	}
}
