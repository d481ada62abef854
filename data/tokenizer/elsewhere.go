package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Files beside tokenizer.json that name added tokens too.
const (
	configName  = "tokenizer_config.json"
	addedName   = "added_tokens.json"
	specialName = "special_tokens_map.json"
)

// namedSpecial are the keys of single special tokens, and manySpecial those of lists, in the order in which transformers adds them.
var (
	namedSpecial = []string{"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"}
	manySpecial  = []string{"additional_special_tokens", "extra_special_tokens"}
)

// elsewhere is an added token as another file has it.
type elsewhere struct {
	addedToken
	place string // file and key
	exact bool   // the file says everything about it, so the flags must agree
	only  bool   // the file is not read by others, so the token must be in another one
}

// withElsewhere returns the tokenizer.json with the tokens that only the folder's other files name, which transformers adds when it
// opens the folder (PreTrainedTokenizerBase._from_pretrained and TokenizersBackend.__init__ of 5.23.0), and says which files those
// are. A token that two files describe differently is an error that names both.
func withElsewhere(data []byte, dir string) (whole []byte, from string, err error) {
	found, err := readElsewhere(dir)
	if err != nil || len(found) == 0 {
		return data, "", err
	}
	var j struct {
		AddedTokens []addedToken `json:"added_tokens"`
	}
	if json.Unmarshal(data, &j) != nil {
		return data, "", nil // parse says what is wrong
	}
	own, ids := map[string]addedToken{}, map[int64]string{}
	for _, a := range j.AddedTokens {
		if a.Content == nil || a.ID == nil {
			return data, "", nil // as above
		}
		own[*a.Content], ids[*a.ID] = a, *a.Content
	}
	var list []addedToken
	var places []string
	for _, e := range found {
		a, known := own[*e.Content]
		if known {
			if err := e.differs(a, dir); err != nil {
				return nil, "", err
			}
			continue
		}
		if e.ID != nil && ids[*e.ID] != "" {
			return nil, "", fmt.Errorf("%s: %s gives %q the id %d, which is %q's: other files say otherwise",
				dir, e.place, *e.Content, *e.ID, ids[*e.ID])
		}
		if e.only {
			return nil, "", fmt.Errorf("%s: %s names the token %q, which neither tokenizer.json nor %s has", dir, e.place, *e.Content, configName)
		}
		own[*e.Content] = e.addedToken
		if e.ID != nil {
			ids[*e.ID] = *e.Content
		}
		list, places = append(list, e.addedToken), append(places, e.place)
	}
	if len(list) == 0 {
		return data, "", nil
	}
	slices.Sort(places)
	whole, err = appendAdded(data, list)
	return whole, " with the added tokens of " + strings.Join(slices.Compact(places), ", "), err
}

// differs reports what the other file says otherwise than tokenizer.json.
func (e elsewhere) differs(a addedToken, dir string) error {
	say := func(what string, here, there any) error {
		return fmt.Errorf("%s: added token %q: %s is %v in %s, %v in tokenizer.json or an earlier file",
			dir, *e.Content, what, here, e.place, there)
	}
	if e.ID != nil && a.ID != nil && *e.ID != *a.ID {
		return say("id", *e.ID, *a.ID)
	}
	if !e.exact {
		return nil
	}
	for _, f := range []struct {
		name        string
		here, there bool
	}{
		{"single_word", e.SingleWord, a.SingleWord}, {"lstrip", e.Lstrip, a.Lstrip}, {"rstrip", e.Rstrip, a.Rstrip},
		{"normalized", e.Normalized, a.Normalized}, {"special", e.Special, a.Special},
	} {
		if f.here != f.there {
			return say(f.name, f.here, f.there)
		}
	}
	return nil
}

// appendAdded writes a tokenizer.json anew with more added tokens. Those without an id get what other readers give them: the
// vocabulary's own, or the next one.
func appendAdded(data []byte, more []addedToken) ([]byte, error) {
	var j fileJSON
	var m modelJSON
	if err := strict(data, &j); err != nil {
		return nil, err
	}
	if err := strict(j.Model, &m); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	next := int64(len(m.Vocab.ids))
	for _, a := range j.AddedTokens {
		if a.ID != nil {
			next = max(next, *a.ID+1)
		}
	}
	for _, a := range more {
		id, known := m.Vocab.ids[*a.Content]
		switch {
		case a.ID != nil:
		case known:
			a.ID = new(int64(id))
		default:
			a.ID = new(next)
		}
		next = max(next, *a.ID+1)
		j.AddedTokens = append(j.AddedTokens, a)
	}
	var whole map[string]json.RawMessage
	if err := json.Unmarshal(data, &whole); err != nil {
		return nil, err
	}
	added, err := json.Marshal(j.AddedTokens)
	if err != nil {
		return nil, err
	}
	whole["added_tokens"] = added
	return json.Marshal(whole)
}

// readElsewhere lists the tokens that the folder's other files name, in the order in which transformers adds them.
func readElsewhere(dir string) ([]elsewhere, error) {
	config, special := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	ids := map[string]int64{}
	for name, into := range map[string]any{configName: &config, specialName: &special, addedName: &ids} {
		_, data, err := readBytes(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = json.Unmarshal(data, into)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(dir, name), err)
		}
	}
	if raw := config["split_special_tokens"]; !absent(raw) && string(raw) != "false" {
		return nil, fmt.Errorf("%s: split_special_tokens is %s: special tokens would be none in a text; remove it",
			filepath.Join(dir, configName), raw)
	}
	found, err := decoderTokens(config["added_tokens_decoder"])
	if err != nil {
		return nil, fmt.Errorf("%s: added_tokens_decoder: %w", filepath.Join(dir, configName), err)
	}
	modern := found != nil // transformers reads the two older files only where there is no added_tokens_decoder
	named, err := specialTokens(config, configName)
	if err == nil && !modern {
		var more []elsewhere
		more, err = specialTokens(special, specialName)
		named = append(named, more...)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return append(append(found, listedTokens(ids, named, modern)...), named...), nil
}

// decoderTokens reads added_tokens_decoder, an object of id: token; nil if it is absent.
func decoderTokens(raw json.RawMessage) ([]elsewhere, error) {
	if absent(raw) {
		return nil, nil
	}
	var byID map[string]json.RawMessage
	if err := json.Unmarshal(raw, &byID); err != nil {
		return nil, err
	}
	list := make([]elsewhere, 0, len(byID))
	for key, raw := range byID {
		id, err := strconv.ParseInt(key, 10, 32)
		if err != nil || id < 0 {
			return nil, fmt.Errorf("%q is no id", key)
		}
		e, err := tokenOf(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		e.ID, e.place, e.exact = &id, configName+" (added_tokens_decoder)", true
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b elsewhere) int { return int(*a.ID - *b.ID) })
	return list, nil
}

// listedTokens reads added_tokens.json, an object of token: id.
func listedTokens(ids map[string]int64, named []elsewhere, modern bool) []elsewhere {
	list := make([]elsewhere, 0, len(ids))
	for content, id := range ids {
		special := slices.ContainsFunc(named, func(e elsewhere) bool { return *e.Content == content })
		list = append(list, elsewhere{addedToken: addedToken{ID: &id, Content: &content, Special: special, Normalized: !special},
			place: addedName, only: modern})
	}
	slices.SortFunc(list, func(a, b elsewhere) int { return int(*a.ID - *b.ID) })
	return list
}

// specialTokens reads the special tokens of a file's object.
func specialTokens(object map[string]json.RawMessage, file string) ([]elsewhere, error) {
	var list []elsewhere
	add := func(key string, raw json.RawMessage) error {
		if absent(raw) || string(raw) == `""` {
			return nil
		}
		e, err := tokenOf(raw)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", file, key, err)
		}
		e.place, e.Special = file+" ("+key+")", true
		list = append(list, e)
		return nil
	}
	for _, key := range namedSpecial {
		if err := add(key, object[key]); err != nil {
			return nil, err
		}
	}
	for _, key := range manySpecial {
		if absent(object[key]) {
			continue
		}
		var several []json.RawMessage
		var byName map[string]json.RawMessage
		if json.Unmarshal(object[key], &several) != nil && json.Unmarshal(object[key], &byName) != nil {
			return nil, fmt.Errorf("%s: %s: neither a list nor an object of tokens", file, key)
		}
		names := make([]string, 0, len(byName))
		for name := range byName {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			several = append(several, byName[name])
		}
		for _, raw := range several {
			if err := add(key, raw); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

// tokenOf reads "<s>" or {"content": "<s>", ...}, with transformers' defaults: what is not special is normalised.
func tokenOf(raw json.RawMessage) (elsewhere, error) {
	var content string
	if json.Unmarshal(raw, &content) == nil && content != "" {
		return elsewhere{addedToken: addedToken{Content: &content, Special: true}}, nil
	}
	var j struct {
		Content    *string `json:"content"`
		SingleWord bool    `json:"single_word"`
		Lstrip     bool    `json:"lstrip"`
		Rstrip     bool    `json:"rstrip"`
		Normalized *bool   `json:"normalized"`
		Special    bool    `json:"special"`
	}
	if err := json.Unmarshal(raw, &j); err != nil || j.Content == nil || *j.Content == "" {
		return elsewhere{}, errors.New("neither a text nor an object with a content")
	}
	a := addedToken{Content: j.Content, SingleWord: j.SingleWord, Lstrip: j.Lstrip, Rstrip: j.Rstrip, Special: j.Special,
		Normalized: !j.Special}
	if j.Normalized != nil {
		a.Normalized = *j.Normalized
	}
	return elsewhere{addedToken: a}, nil
}

// renameAdded gives one added token of a tokenizer.json another name.
func renameAdded(data []byte, from, to string) ([]byte, error) {
	var whole map[string]json.RawMessage
	var added []addedToken
	err := json.Unmarshal(data, &whole)
	if err == nil {
		err = json.Unmarshal(whole["added_tokens"], &added)
	}
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(added, func(a addedToken) bool { return a.Content != nil && *a.Content == from })
	if at < 0 {
		return nil, fmt.Errorf("%q is no added token", from)
	}
	added[at].Content = &to
	if whole["added_tokens"], err = json.Marshal(added); err != nil {
		return nil, err
	}
	return json.Marshal(whole)
}

// Renamed opens anew a tokenizer that Open made, with one of its added tokens under another name; the old name is plain text then.
// Tokenizers that come from elsewhere are refused.
func Renamed(t Tokenizer, from, to string) (Tokenizer, error) {
	opened, ok := t.(interface{ source() string })
	if !ok {
		return nil, fmt.Errorf("tokenizer: %T has no file to read anew", t)
	}
	f, err := readFile(opened.source(), func(data []byte) ([]byte, error) { return renameAdded(data, from, to) })
	if err != nil {
		return nil, err
	}
	return implement(f)
}
