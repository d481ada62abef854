package data

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/goprm/goprm/internal/shareddata"
)

// TestChatTemplatesAsJinja compares with what Jinja2 rendered (testdata/chat_templates.py): features one by one, and real models'
// templates.
func TestChatTemplatesAsJinja(t *testing.T) {
	b, err := os.ReadFile("testdata/chat_templates.json")
	require.NoError(t, err)
	var cases []struct{ Source, File, Want string }
	require.NoError(t, json.Unmarshal(b, &cases))
	require.Greater(t, len(cases), 15)
	for _, c := range cases {
		t.Run(c.File, func(t *testing.T) {
			if c.File != "" {
				b, err := os.ReadFile(filepath.Join(shareddata.Dir(t), "data/tokenizer/chat_templates", c.File))
				require.NoError(t, err)
				c.Source = string(b)
			}
			chat, err := parseChat(c.Source)
			require.NoError(t, err)
			got, err := chat.render([]message{{"user", "  a cat\n"}, {"assistant", "<think>\nhm, é\n\n</think>\n\nyes\n\n"}},
				map[string]string{"bos_token": "<s>", "eos_token": "</s>"})
			require.NoError(t, err)
			require.Equal(t, c.Want, got)
		})
	}
}

// TestChatTemplateBounds gives templates that would run for ever, or fill the memory, or read files.
func TestChatTemplateBounds(t *testing.T) {
	double := "{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}"
	for name, c := range map[string]struct{ source, want string }{
		"power":              {"{% for i in range(10**9) %}{% endfor %}", "range takes one to three integers"},
		"long integer range": {"{% for i in range(1000000000) %}{% endfor %}", "a range of more than 10000"},
		"nested loops": {"{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
			"its loops run more than 20000 times"},
		"nested output": {"{% for i in range(9999) %}" + strings.Repeat("x", 60000) + "{% endfor %}", "too much text"},
		"doubling text": {"{% set ns = namespace(s='xxxxxxxxxxxxxxxx') %}" + double, "too much text"},
		"doubling lists": {"{% set ns = namespace(s=[1]) %}{% for i in range(60) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s }}",
			"too much text"},
		"recursive macro": {"{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}", "its loops run more than 20000 times"},
		"doubling macros": {"{% macro f(x) %}{{ x }}{{ x }}{% endmacro %}{{ " + strings.Repeat("f(", 40) + "'xxxxxxxx'" + strings.Repeat(")",
			40) + " }}", "too much text"},
		"macro output": {"{% macro f(x) %}{% for i in range(9999) %}" + strings.Repeat("x",
			60000) + "{% endfor %}{% endmacro %}{{ f(1)|length }}", "too much text"},
		"block set":       {"{% set x %}{% for i in range(9999) %}" + strings.Repeat("x", 60000) + "{% endfor %}{% endset %}", "too much text"},
		"recursive loop":  {"{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}", "recursive loops are not available"},
		"multiplied text": {"{{ 'x' * 1000000000000 }}", "the operator * is not available"},
		"many operators":  {"{{ 'x'" + strings.Repeat(" + 'x'", 200) + " }}", "more than 128 operators"},
		"long tag":        {"{{ '" + strings.Repeat("x", 20000) + "' }}", "a tag of more than 16384 bytes"},
		"long template":   {strings.Repeat("x", 200000), "200000 bytes"},
		"growing replace": {"{% set s = '" + strings.Repeat("x", 10000) + "' %}{% set s = s.replace('x', s) %}{{ s|replace('x', s) }}",
			"a text of more than"},
		"replace filter":  {"{{ messages[1].content|replace('x', messages[1].content) }}", "a text of more than"},
		"replace method":  {"{{ messages[1].content.replace('x', messages[1].content) }}", "a text of more than"},
		"join":            {"{{ range(9999)|join(messages[1].content) }}", "a text of more than"},
		"join method":     {"{{ messages[1].content.join(range(9999)) }}", "a text of more than"},
		"wide json":       {"{{ messages|tojson(indent=1000000000) }}", "indent beyond 16"},
		"wide center":     {"{{ 'x'.center(1000000000) }}", "unknown method"},
		"center filter":   {"{{ 'x'|center(1000000000) }}", "filter 'center' not found"},
		"include":         {"{% include '/etc/passwd' %}", "include"},
		"import":          {"{% import '/etc/passwd' as x %}", "import"},
		"extends":         {"{% extends '/etc/passwd' %}", "extends"},
		"append":          {"{% set x = [] %}{{ x.append(1) }}", "unknown method 'append'"},
		"modulo by zero":  {"{{ 1 % 0 }}", "divide by zero"},
		"deep nesting":    {"{{ " + strings.Repeat("(", 16000) + " }}", ""},
		"letter after 2.": {"{{ 2.\u4e2d }}", "the template engine failed"},
		"endless number":  {"{{ \xe02.\u4e2d }}", "line 1, byte 3: the template engine cannot read this"},
		"unclosed":        {"{% if x %}", "endif"},
		"raised":          {"{{ raise_exception('no') }}", "raised: no"},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			chat, err := parseChat(c.source)
			if err == nil {
				_, err = chat.render([]message{{"user", "P"}, {"assistant", strings.Repeat("x", 100000)}}, nil)
			}
			runtime.ReadMemStats(&after)
			require.ErrorContains(t, err, c.want)
			require.Less(t, len(err.Error()), 2000)
			require.Less(t, time.Since(start), 8*time.Second)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<30))
		})
	}
}

func TestReadModelText(t *testing.T) {
	dir := t.TempDir()
	put := func(name, content string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	m, err := ReadModelText(dir)
	require.NoError(t, err)
	require.Equal(t, ModelText{Special: map[string]string{}}, m)

	put("config.json", `{"max_position_embeddings": 32768}`)
	put("tokenizer_config.json", `{"bos_token": null, "eos_token": {"content": "</s>", "lstrip": false}, "chat_template": "one"}`)
	put("special_tokens_map.json", `{"eos_token": "<other>", "pad_token": "<pad>"}`)
	m, err = ReadModelText(dir)
	require.NoError(t, err)
	require.Equal(t, ModelText{ChatTemplate: "one", Special: map[string]string{"eos_token": "</s>", "pad_token": "<pad>"},
		MaxPositions: 32768}, m)

	put("tokenizer_config.json", `{"chat_template": [{"name": "tool_use", "template": "a"}, {"name": "default", "template": "first"},
		{"name": "default", "template": "b"}]}`) // of two of one name the last counts, as in transformers
	m, err = ReadModelText(dir)
	require.NoError(t, err)
	require.Equal(t, "b", m.ChatTemplate)
	put("chat_template.jinja", "file")
	m, err = ReadModelText(dir)
	require.NoError(t, err)
	require.Equal(t, "file", m.ChatTemplate)
	require.NoError(t, os.Remove(filepath.Join(dir, "chat_template.jinja")))

	put("tokenizer_config.json", `{"chat_template": [{"name": "x", "template": "a"}]}`) // no matter where no template is asked for
	m, err = ReadModelText(dir)
	require.NoError(t, err)
	_, err = NewChat(m)
	require.ErrorContains(t, err, `tokenizer_config.json: chat_template: none of the named templates is "default"`)

	for content, want := range map[string]string{
		`{"chat_template": 3}`: `tokenizer_config.json: chat_template: neither a string nor a list`,
		`{"eos_token": 3}`:     `tokenizer_config.json: eos_token: neither a string nor an object`,
		`{`:                    `tokenizer_config.json: unexpected end of JSON input`,
	} {
		put("tokenizer_config.json", content)
		_, err := ReadModelText(dir)
		require.ErrorContains(t, err, want)
	}
	put("tokenizer_config.json", `{}`)
	put("config.json", `{"max_position_embeddings": 0}`)
	_, err = ReadModelText(dir)
	require.ErrorContains(t, err, "config.json: max_position_embeddings: 0 is not positive")
}

// FuzzChatTemplate looks for templates that panic, hang or swallow the stack.
func FuzzChatTemplate(f *testing.F) {
	b, err := os.ReadFile("testdata/chat_templates.json")
	require.NoError(f, err)
	var cases []struct{ Source string }
	require.NoError(f, json.Unmarshal(b, &cases))
	for _, c := range cases {
		f.Add(c.Source)
	}
	f.Add("{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}")
	f.Fuzz(func(t *testing.T, source string) {
		start := time.Now()
		chat, err := parseChat(source)
		if err != nil {
			return
		}
		if _, err = chat.render([]message{{"user", "P"}, {"assistant", "text"}}, nil); err == nil {
			require.Less(t, time.Since(start), maxRenderTime)
		}
	})
}
