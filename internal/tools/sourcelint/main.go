// Command sourcelint checks what gofmt and vet leave open: the length of Go lines, and the spelling of optimizer. It prints one line per
// finding and exits 1 if there is any.
//
//	go run ./internal/tools/sourcelint
package main

import (
	"bytes"
	"fmt"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// longest is how many bytes a line may have. In tests raw string literals are not counted, whose lines are what they say.
const longest = 140

func main() {
	findings, err := check(".")
	for _, f := range findings {
		fmt.Println(f)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sourcelint:", err)
	}
	if err != nil || len(findings) > 0 {
		os.Exit(1)
	}
}

// check reads the Go files below root, except those in folders that begin with a dot.
func check(root string) (findings []string, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != root {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(path) != ".go" {
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		findings = append(findings, lint(filepath.ToSlash(name), source)...)
		return nil
	})
	return findings, err
}

// british is the spelling that is not ours, in two parts so that this file does not have it.
var british = []byte("optimi" + "se")

// lint checks one file, whether it is generated or not.
func lint(name string, source []byte) (findings []string) {
	var raw map[int]int
	if strings.HasSuffix(name, "_test.go") {
		raw = rawLiterals(source)
	}
	for i, line := range bytes.Split(source, []byte("\n")) {
		if n := len(line) - raw[i+1]; n > longest {
			findings = append(findings, fmt.Sprintf("%s:%d: %d bytes; break the line at %d", name, i+1, n, longest))
		}
		if bytes.Contains(bytes.ToLower(line), british) {
			findings = append(findings, fmt.Sprintf("%s:%d: it is spelled optimize here", name, i+1))
		}
	}
	return findings
}

// rawLiterals counts the bytes of raw string literals in each line, from 1.
func rawLiterals(source []byte) map[int]int {
	var s scanner.Scanner
	set := token.NewFileSet()
	file := set.AddFile("", set.Base(), len(source))
	s.Init(file, source, func(token.Position, string) {}, 0)
	count := map[int]int{}
	for {
		at, kind, text := s.Scan()
		if kind == token.EOF {
			return count
		}
		if kind == token.STRING && text[0] == '`' {
			for i, line := range strings.Split(text, "\n") {
				count[file.Line(at)+i] += len(line)
			}
		}
	}
}
