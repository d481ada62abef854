package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/goprm/goprm/internal/lfspointer"
	"github.com/goprm/goprm/internal/onekey"
)

// maxFile bounds the memory a tokenizer.json can take. The largest ones in use (256k entries) have about 35 MB.
const maxFile = 64 << 20

// file is a tokenizer.json that has been checked.
type file struct {
	path   string
	opened string // the path that was given: of the file, or of the folder it lies in
	data   []byte
	*vocabulary
	raw, normalized *matcher
	nfc             bool
	marks           *marking // of a vocabulary made by SentencePiece, else nil
	stages          []splitter
	*merges
}

// fileJSON is the outermost object.
type fileJSON struct {
	Version       *string         `json:"version"`
	Truncation    json.RawMessage `json:"truncation"` // not applied
	Padding       json.RawMessage `json:"padding"`    // not applied
	AddedTokens   []addedToken    `json:"added_tokens"`
	Normalizer    json.RawMessage `json:"normalizer"`
	PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
	PostProcessor json.RawMessage `json:"post_processor"` // not applied
	Decoder       json.RawMessage `json:"decoder"`
	Model         json.RawMessage `json:"model"`
}

// readFile reads and checks a tokenizer.json, or the one in a folder with the added tokens that the folder's other files name. change,
// if not nil, changes its text first.
func readFile(given string, change func([]byte) ([]byte, error)) (*file, error) {
	path, data, err := readBytes(given)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	more := ""
	if path != given {
		if data, more, err = withElsewhere(data, given); err != nil {
			return nil, fmt.Errorf("tokenizer: %s", shortened(err))
		}
	}
	if change != nil {
		if data, err = change(data); err != nil {
			return nil, fmt.Errorf("tokenizer: %s: %w", path, err)
		}
	}
	f, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %s%s: %s", path, more, shortened(err))
	}
	f.path, f.opened, f.data = path, given, data
	return f, nil
}

// shortened cuts an error that quotes the file, where anything may stand.
func shortened(err error) string {
	text := err.Error()
	if len(text) > 1000 {
		text = strings.ToValidUTF8(text[:1000], "") + "..."
	}
	return text
}

func readBytes(path string) (string, []byte, error) {
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		path = filepath.Join(path, "tokenizer.json")
	}
	in, err := os.Open(path)
	if err != nil {
		return path, nil, err
	}
	data, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err = errors.Join(err, in.Close()); err != nil {
		return path, nil, err
	}
	if len(data) > maxFile {
		return path, nil, fmt.Errorf("%s: more than %d bytes, which is no tokenizer.json that can be read", path, maxFile)
	}
	if err := lfspointer.Check(path, data); err != nil {
		return path, nil, err
	}
	if err := onekey.Check(data); err != nil {
		return path, nil, fmt.Errorf("%s: %w", path, err)
	}
	return path, data, nil
}

// parse reads the text of a tokenizer.json. Its errors name the key.
func parse(data []byte) (*file, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("not UTF-8")
	}
	var j fileJSON
	if err := strict(data, &j); err != nil {
		return nil, err
	}
	if j.Version == nil || *j.Version != "1.0" {
		return nil, errors.New(`version: must be "1.0"`)
	}
	if absent(j.Model) {
		return nil, errors.New("model: missing")
	}
	var m modelJSON
	if err := strict(j.Model, &m); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("model.%w", err)
	}
	f := new(file)
	var err error
	if m.ByteFallback {
		return f, f.readSPM(&j, &m)
	}
	if f.nfc, err = parseNormalizer(j.Normalizer); err != nil {
		return nil, fmt.Errorf("normalizer%w", err)
	}
	if f.stages, err = parsePreTokenizer(j.PreTokenizer); err != nil {
		return nil, fmt.Errorf("pre_tokenizer%w", err)
	}
	if err = checkDecoder(j.Decoder); err != nil {
		return nil, fmt.Errorf("decoder%w", err)
	}
	if f.vocabulary, err = newVocabulary(m.Vocab.ids, j.AddedTokens, tokenBytes); err != nil {
		return nil, err
	}
	if f.merges, err = newMerges(m.Vocab.ids, m.Merges, m.IgnoreMerges); err != nil {
		return nil, fmt.Errorf("model.%w", err)
	}
	normalize := func(text string) string {
		if f.nfc {
			text, _ = nfc(text)
		}
		return text
	}
	if f.raw, f.normalized, err = newMatchers(j.AddedTokens, normalize); err != nil {
		return nil, fmt.Errorf("added_tokens: %w", err)
	}
	return f, nil
}

// readSPM reads the rest of a file whose model spells in bytes.
func (f *file) readSPM(j *fileJSON, m *modelJSON) (err error) {
	if err = f.parseSPM(j); err != nil {
		return err
	}
	written := func(token string) string {
		if b, ok := byteToken(token); ok {
			return string([]byte{b})
		}
		return token
	}
	if f.vocabulary, err = newVocabulary(m.Vocab.ids, j.AddedTokens, written); err != nil {
		return err
	}
	if f.merges, err = newSPMMerges(m.Vocab.ids, m.Merges, m.IgnoreMerges); err != nil {
		return fmt.Errorf("model.%w", err)
	}
	normalize := func(s string) string {
		if f.nfc {
			s, _ = nfc(s)
		}
		if !f.marks.late {
			s, _ = f.marks.mark(s, true)
		}
		return s
	}
	for _, a := range j.AddedTokens {
		if a.Normalized { // as the library's own decoder gives them back
			f.bytes[*a.ID] = normalize(*a.Content)
		}
	}
	if f.raw, f.normalized, err = newMatchers(j.AddedTokens, normalize); err != nil {
		return fmt.Errorf("added_tokens: %w", err)
	}
	return nil
}

func absent(raw json.RawMessage) bool {
	return len(raw) == 0 || string(raw) == "null"
}

// typeOf returns the type of a normalizer, pre_tokenizer or decoder.
func typeOf(raw json.RawMessage) (string, error) {
	var j struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(raw, &j); err != nil {
		return "", fmt.Errorf(": %w", err)
	}
	return j.Type, nil
}

// refuseSequence keeps sequences flat, so that a file nested a thousandfold takes no time.
func refuseSequence(part json.RawMessage) error {
	kind, err := typeOf(part)
	if err == nil && kind == "Sequence" {
		err = errors.New(".type: a Sequence inside a Sequence is not known")
	}
	return err
}

// parseNormalizer accepts none, NFC and sequences of them.
func parseNormalizer(raw json.RawMessage) (nfc bool, err error) {
	if absent(raw) {
		return false, nil
	}
	kind, err := typeOf(raw)
	if err != nil {
		return false, err
	}
	switch kind {
	case "NFC":
		var j struct {
			Type string `json:"type"`
		}
		if err := strict(raw, &j); err != nil {
			return false, fmt.Errorf(": %w", err)
		}
		return true, nil
	case "Sequence":
		var j struct {
			Type        string            `json:"type"`
			Normalizers []json.RawMessage `json:"normalizers"`
		}
		if err := strict(raw, &j); err != nil {
			return false, fmt.Errorf(": %w", err)
		}
		for i, part := range j.Normalizers {
			one, err := false, refuseSequence(part)
			if err == nil {
				one, err = parseNormalizer(part)
			}
			if err != nil {
				return false, fmt.Errorf(".normalizers[%d]%w", i, err)
			}
			nfc = nfc || one
		}
		return nfc, nil
	}
	return false, fmt.Errorf(".type: %q is not known (known: NFC, Sequence, or none)", kind)
}

// parsePreTokenizer returns the stages that cut the text. The last entry must be ByteLevel: the vocabulary is in bytes.
func parsePreTokenizer(raw json.RawMessage) ([]splitter, error) {
	if absent(raw) {
		return nil, errors.New(": missing; a byte-level vocabulary needs ByteLevel")
	}
	stages, byteLevel, err := appendStages(nil, raw)
	if err == nil && !byteLevel {
		err = errors.New(": no ByteLevel; only byte-level vocabularies are known")
	}
	return stages, err
}

// appendStages adds the stages of one pre-tokenizer and reports whether it turned the text into bytes.
func appendStages(stages []splitter, raw json.RawMessage) ([]splitter, bool, error) {
	kind, err := typeOf(raw)
	if err != nil {
		return nil, false, err
	}
	switch kind {
	case "Sequence":
		return appendSequence(stages, raw)
	case "Split":
		s, err := parseSplit(raw)
		return append(stages, s), false, err
	case "Digits":
		var j struct {
			Type       string `json:"type"`
			Individual bool   `json:"individual_digits"`
		}
		if err := strict(raw, &j); err != nil {
			return nil, false, fmt.Errorf(": %w", err)
		}
		return append(stages, splitDigits(j.Individual)), false, nil
	case "ByteLevel":
		j, err := parseByteLevel(raw)
		if err != nil {
			return nil, false, err
		}
		if *j.AddPrefixSpace {
			return nil, false, errors.New(".add_prefix_space: true is not known")
		}
		if j.UseRegex == nil || *j.UseRegex {
			stages = append(stages, splitGPT2)
		}
		return stages, true, nil
	}
	return nil, false, fmt.Errorf(".type: %q is not known (known: Sequence, Split, Digits, ByteLevel)", kind)
}

func appendSequence(stages []splitter, raw json.RawMessage) ([]splitter, bool, error) {
	var j struct {
		Type          string            `json:"type"`
		Pretokenizers []json.RawMessage `json:"pretokenizers"`
	}
	if err := strict(raw, &j); err != nil {
		return nil, false, fmt.Errorf(": %w", err)
	}
	byteLevel := false
	for i, part := range j.Pretokenizers {
		if byteLevel {
			return nil, false, fmt.Errorf(".pretokenizers[%d]: after ByteLevel, which must be the last", i)
		}
		err := refuseSequence(part)
		if err == nil {
			stages, byteLevel, err = appendStages(stages, part)
		}
		if err != nil {
			return nil, false, fmt.Errorf(".pretokenizers[%d]%w", i, err)
		}
	}
	return stages, byteLevel, nil
}

func parseSplit(raw json.RawMessage) (splitter, error) {
	var j struct {
		Type     string      `json:"type"`
		Pattern  patternJSON `json:"pattern"`
		Behavior string      `json:"behavior"`
		Invert   bool        `json:"invert"`
	}
	if err := strict(raw, &j); err != nil {
		return nil, fmt.Errorf(": %w", err)
	}
	switch {
	case j.Pattern.String != nil:
		return nil, fmt.Errorf(".pattern.String: %q: splitting at a fixed string is not known", *j.Pattern.String)
	case j.Pattern.Regex == nil:
		return nil, errors.New(".pattern.Regex: missing")
	case j.Behavior != "Isolated":
		return nil, fmt.Errorf(".behavior: %q is not known (known: Isolated)", j.Behavior)
	case j.Invert:
		return nil, errors.New(".invert: true is not known")
	}
	s := splitterOf(*j.Pattern.Regex)
	if s == nil {
		return nil, fmt.Errorf(".pattern.Regex: %s is not known (known: the patterns of GPT-2, Qwen2 and Llama 3)", *j.Pattern.Regex)
	}
	return s, nil
}

// patternJSON is what Split and Replace look for: one of the two.
type patternJSON struct{ Regex, String *string }

func (p *patternJSON) UnmarshalJSON(data []byte) error {
	type plain patternJSON
	return strict(data, (*plain)(p))
}

type byteLevelJSON struct {
	Type           string `json:"type"`
	AddPrefixSpace *bool  `json:"add_prefix_space"`
	TrimOffsets    *bool  `json:"trim_offsets"` // concerns offsets that a post_processor would change
	UseRegex       *bool  `json:"use_regex"`
}

func parseByteLevel(raw json.RawMessage) (byteLevelJSON, error) {
	var j byteLevelJSON
	if err := strict(raw, &j); err != nil {
		return j, fmt.Errorf(": %w", err)
	}
	if j.AddPrefixSpace == nil {
		return j, errors.New(".add_prefix_space: missing")
	}
	return j, nil
}

// checkDecoder accepts ByteLevel, whose flags mean nothing when decoding.
func checkDecoder(raw json.RawMessage) error {
	if absent(raw) {
		return errors.New(": missing; a byte-level vocabulary needs ByteLevel")
	}
	kind, err := typeOf(raw)
	if err != nil {
		return err
	}
	if kind != "ByteLevel" {
		return fmt.Errorf(".type: %q is not known (known: ByteLevel)", kind)
	}
	_, err = parseByteLevel(raw)
	return err
}
