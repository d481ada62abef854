package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// OpenWordPiece reads the WordPiece tokenizer of a BERT folder: tokenizer.json, or vocab.txt where there is none, and what
// tokenizer_config.json says besides. Truncation, padding and the decoder of the file are not applied. What the files ask
// for and this package does not know is refused by name, and so is a tokenizer_config.json that contradicts tokenizer.json.
// lower makes text lowercase even where the files do not; accents then stay as the files say.
func OpenWordPiece(dir string, lower bool) (*WordPiece, error) {
	config, err := readWordPieceConfig(filepath.Join(dir, "tokenizer_config.json"))
	if err != nil {
		return nil, err
	}
	config.lowerAnyway = lower
	t := &WordPiece{maxLength: config.maxLength()}
	path, data, err := readBytes(filepath.Join(dir, "tokenizer.json"))
	switch {
	case err == nil:
		err = t.parse(data, config)
	case errors.Is(err, fs.ErrNotExist):
		if path, data, err = readBytes(filepath.Join(dir, "vocab.txt")); err != nil {
			return nil, fmt.Errorf("tokenizer: neither tokenizer.json nor vocab.txt: %w", err)
		}
		err = t.fromVocabulary(data, config)
	}
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %s", path, shortened(err))
	}
	for token := range t.ids {
		t.longest = max(t.longest, len(token))
	}
	return t, nil
}

// wordPieceConfig is what of tokenizer_config.json bears on ids.
type wordPieceConfig struct {
	Class          *string  `json:"tokenizer_class"`
	ModelMaxLength *float64 `json:"model_max_length"` // 1e30 stands for none
	DoBasic        *bool    `json:"do_basic_tokenize"`
	LowerCase      *bool    `json:"do_lower_case"`
	StripAccents   *bool    `json:"strip_accents"`
	Chinese        *bool    `json:"tokenize_chinese_chars"`
	NeverSplit     []string `json:"never_split"`
	Unk            special  `json:"unk_token"`
	Sep            special  `json:"sep_token"`
	Pad            special  `json:"pad_token"`
	Cls            special  `json:"cls_token"`
	Mask           special  `json:"mask_token"`

	lowerAnyway bool
}

// maxWordChars bounds the time that a word can take, which grows with its square and more. Files have 100.
const maxWordChars = 500

// wordPieceClasses: the last two stand for whatever tokenizer.json says, in transformers 4 and 5.
var wordPieceClasses = []string{"BertTokenizer", "BertTokenizerFast", "PreTrainedTokenizerFast", "TokenizersBackend"}

// special is a token's content, or an object that has it.
type special string

func (s *special) UnmarshalJSON(data []byte) error {
	var object struct {
		Content *string `json:"content"`
	}
	if json.Unmarshal(data, (*string)(s)) == nil {
		return nil
	}
	if err := json.Unmarshal(data, &object); err != nil || object.Content == nil {
		return errors.New("a special token is neither a text nor an object with content")
	}
	*s = special(*object.Content)
	return nil
}

func readWordPieceConfig(path string) (wordPieceConfig, error) {
	c := wordPieceConfig{Unk: "[UNK]", Sep: "[SEP]", Pad: "[PAD]", Cls: "[CLS]", Mask: "[MASK]"}
	_, data, err := readBytes(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("tokenizer: %w", err)
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("tokenizer: %s: %s", path, shortened(err))
	}
	switch {
	case c.Class != nil && !slices.Contains(wordPieceClasses, *c.Class):
		err = fmt.Errorf("tokenizer_class: %q is not known (known: %s)", *c.Class, strings.Join(wordPieceClasses, ", "))
	case c.DoBasic != nil && !*c.DoBasic:
		err = errors.New("do_basic_tokenize: false is not known")
	case len(c.NeverSplit) > 0:
		err = errors.New("never_split: is not known")
	}
	if err != nil {
		return c, fmt.Errorf("tokenizer: %s: %s", path, shortened(err))
	}
	return c, nil
}

func (c wordPieceConfig) maxLength() int {
	if c.ModelMaxLength == nil || !(*c.ModelMaxLength >= 1 && *c.ModelMaxLength < 1e9) {
		return 0
	}
	return int(*c.ModelMaxLength)
}

// normalizer gives the file's settings where the configuration has none of its own.
func (c wordPieceConfig) normalizer(file bertNormalizerJSON) (bertNormalizer, error) {
	lower := file.Lowercase
	strip := lower
	if file.StripAccents != nil {
		strip = *file.StripAccents
	}
	for _, s := range []struct {
		name string
		here *bool
		file bool
	}{
		{"do_lower_case", c.LowerCase, lower},
		{"strip_accents", c.StripAccents, strip},
		{"tokenize_chinese_chars", c.Chinese, file.HandleChineseChars},
	} {
		if s.here != nil && *s.here != s.file {
			return bertNormalizer{}, fmt.Errorf("normalizer: tokenizer_config.json has %s %v, which contradicts %v here: make them agree",
				s.name, *s.here, s.file)
		}
	}
	return bertNormalizer{clean: file.CleanText, cjk: file.HandleChineseChars, strip: strip, lower: lower || c.lowerAnyway}, nil
}

type bertNormalizerJSON struct {
	Type               string `json:"type"`
	CleanText          bool   `json:"clean_text"`
	HandleChineseChars bool   `json:"handle_chinese_chars"`
	StripAccents       *bool  `json:"strip_accents"` // null: as lowercase
	Lowercase          bool   `json:"lowercase"`
}

type wordPieceJSON struct {
	Type     string    `json:"type"`
	UnkToken string    `json:"unk_token"`
	Prefix   *string   `json:"continuing_subword_prefix"`
	MaxChars *int      `json:"max_input_chars_per_word"`
	Vocab    vocabJSON `json:"vocab"`
}

// parse reads the text of a tokenizer.json. Its errors name the key.
func (t *WordPiece) parse(data []byte, config wordPieceConfig) error {
	if !utf8.Valid(data) {
		return errors.New("not UTF-8")
	}
	var j fileJSON
	if err := strict(data, &j); err != nil {
		return err
	}
	if j.Version == nil || *j.Version != "1.0" {
		return errors.New(`version: must be "1.0"`)
	}
	if absent(j.Model) {
		return errors.New("model: missing")
	}
	if err := expectType("model", j.Model, "WordPiece"); err != nil {
		return err
	}
	var m wordPieceJSON
	if err := strict(j.Model, &m); err != nil {
		return fmt.Errorf("model: %w", err)
	}
	t.prefix, t.maxChars = "##", 100
	if m.Prefix != nil {
		t.prefix = *m.Prefix
	}
	if m.MaxChars != nil {
		t.maxChars = *m.MaxChars
	}
	if t.maxChars < 1 || t.maxChars > maxWordChars {
		return fmt.Errorf("model.max_input_chars_per_word: %d is not from 1 to %d", t.maxChars, maxWordChars)
	}
	if err := expectType("normalizer", j.Normalizer, "BertNormalizer"); err != nil {
		return err
	}
	var n bertNormalizerJSON
	err := strict(j.Normalizer, &n)
	if err != nil {
		return fmt.Errorf("normalizer: %w", err)
	}
	if t.normalizer, err = config.normalizer(n); err != nil {
		return err
	}
	if err := expectType("pre_tokenizer", j.PreTokenizer, "BertPreTokenizer"); err != nil {
		return err
	}
	if err := t.setVocabulary(m.Vocab.ids, j.AddedTokens, m.UnkToken); err != nil {
		return err
	}
	return t.parsePostProcessor(j.PostProcessor)
}

// setVocabulary needs the normalizer.
func (t *WordPiece) setVocabulary(ids map[string]int32, added []addedToken, unknown string) (err error) {
	if len(ids) == 0 {
		return errors.New("model.vocab: missing or empty")
	}
	if t.vocabulary, err = newVocabulary(ids, added, func(token string) string { return token }); err != nil {
		return err
	}
	var known bool
	if t.unknown, known = ids[unknown]; !known {
		return fmt.Errorf("model.unk_token: %q is not in vocab", unknown)
	}
	if t.raw, t.normalized, err = newMatchers(added, t.normalizer.apply); err != nil {
		return fmt.Errorf("added_tokens: %w", err)
	}
	return nil
}

func expectType(key string, raw json.RawMessage, want string) error {
	if absent(raw) {
		return fmt.Errorf("%s: missing (known: %s)", key, want)
	}
	kind, err := typeOf(raw)
	if err != nil {
		return fmt.Errorf("%s%w", key, err)
	}
	if kind != want {
		return fmt.Errorf("%s.type: %q is not known (known: %s)", key, kind, want)
	}
	return nil
}

// parsePostProcessor reads what is put around a single text.
func (t *WordPiece) parsePostProcessor(raw json.RawMessage) error {
	if absent(raw) {
		return errors.New("post_processor: missing (known: TemplateProcessing, BertProcessing)")
	}
	kind, err := typeOf(raw)
	if err != nil {
		return fmt.Errorf("post_processor%w", err)
	}
	switch kind {
	case "BertProcessing":
		var j struct {
			Type string  `json:"type"`
			Sep  namedID `json:"sep"`
			Cls  namedID `json:"cls"`
		}
		if err := strict(raw, &j); err != nil {
			return fmt.Errorf("post_processor: %w", err)
		}
		t.before, t.after = []int32{j.Cls.id}, []int32{j.Sep.id}
	case "TemplateProcessing":
		if err := t.parseTemplate(raw); err != nil {
			return fmt.Errorf("post_processor%w", err)
		}
	default:
		return fmt.Errorf("post_processor.type: %q is not known (known: TemplateProcessing, BertProcessing)", kind)
	}
	for _, id := range slices.Concat(t.before, t.after) {
		if _, ok := t.Token(id); !ok {
			return fmt.Errorf("post_processor: %d is no token (the vocabulary ends at %d)", id, t.Size()-1)
		}
	}
	return nil
}

// namedID is ["token", id].
type namedID struct{ id int32 }

func (n *namedID) UnmarshalJSON(data []byte) error {
	var pair []json.RawMessage
	if err := json.Unmarshal(data, &pair); err != nil || len(pair) != 2 {
		return errors.New(`not ["token", id]`)
	}
	return json.Unmarshal(pair[1], &n.id)
}

func (t *WordPiece) parseTemplate(raw json.RawMessage) error {
	type piece struct {
		ID     string `json:"id"`
		TypeID int    `json:"type_id"`
	}
	var j struct {
		Type   string `json:"type"`
		Single []struct {
			SpecialToken *piece
			Sequence     *piece
		} `json:"single"`
		Pair          json.RawMessage `json:"pair"` // not applied
		SpecialTokens map[string]struct {
			ID     string   `json:"id"`
			IDs    []int32  `json:"ids"`
			Tokens []string `json:"tokens"`
		} `json:"special_tokens"`
	}
	if err := strict(raw, &j); err != nil {
		return fmt.Errorf(": %w", err)
	}
	texts := 0
	for i, p := range j.Single {
		switch {
		case p.Sequence != nil && p.SpecialToken == nil && p.Sequence.ID == "A" && p.Sequence.TypeID == 0:
			texts++
		case p.SpecialToken != nil && p.Sequence == nil && p.SpecialToken.TypeID == 0:
			token, ok := j.SpecialTokens[p.SpecialToken.ID]
			if !ok {
				return fmt.Errorf(".single[%d]: %q is not among special_tokens", i, p.SpecialToken.ID)
			}
			if texts == 0 {
				t.before = append(t.before, token.IDs...)
			} else {
				t.after = append(t.after, token.IDs...)
			}
		default:
			return fmt.Errorf(".single[%d]: neither a special token nor the sequence A, of type 0", i)
		}
	}
	if texts != 1 {
		return fmt.Errorf(".single: the text is there %d times", texts)
	}
	return nil
}

// fromVocabulary makes the tokenizer of a vocab.txt: a token a line, its id the line's number from 0 on.
func (t *WordPiece) fromVocabulary(data []byte, config wordPieceConfig) error {
	if !utf8.Valid(data) {
		return errors.New("not UTF-8")
	}
	ids := map[string]int32{}
	for line := range bytes.Lines(data) {
		token := strings.TrimRightFunc(string(line), func(r rune) bool { return r == '\n' || r == '\r' })
		if _, twice := ids[token]; twice || token == "" {
			return fmt.Errorf("line %d: %q is empty or there twice", len(ids)+1, token)
		}
		ids[token] = int32(len(ids))
	}
	var added []addedToken
	for _, s := range []special{config.Pad, config.Unk, config.Cls, config.Sep, config.Mask} {
		id, known := ids[string(s)]
		if !known {
			return fmt.Errorf("special token %q of tokenizer_config.json: not in the vocabulary", s)
		}
		number, content := int64(id), string(s)
		added = append(added, addedToken{ID: &number, Content: &content, Special: true})
	}
	t.prefix, t.maxChars = "##", 100
	settings := bertNormalizerJSON{CleanText: true, HandleChineseChars: true, Lowercase: true, StripAccents: config.StripAccents}
	if config.LowerCase != nil {
		settings.Lowercase = *config.LowerCase
	}
	if config.Chinese != nil {
		settings.HandleChineseChars = *config.Chinese
	}
	var err error
	if t.normalizer, err = config.normalizer(settings); err != nil {
		return err
	}
	if err := t.setVocabulary(ids, added, string(config.Unk)); err != nil {
		return err
	}
	t.before, t.after = []int32{ids[string(config.Cls)]}, []int32{ids[string(config.Sep)]}
	return nil
}

// Room is how many of a text's own tokens fit into limit.
func (t *WordPiece) Room(limit int) (int, error) {
	room := limit - len(t.before) - len(t.after)
	if room < 1 {
		return 0, fmt.Errorf("a limit of %d tokens: the special tokens take %d", limit, len(t.before)+len(t.after))
	}
	return room, nil
}
