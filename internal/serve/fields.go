package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// A request's fields are decided here for every endpoint: an endpoint honours those of its struct, some of the others have a value that
// means what is done anyway or that changes no answer, and every other one is refused by its name. Names and meanings are those of vLLM
// 0.22 and later (entrypoints/pooling/*/protocol.py), SGLang and the trainers.

// fieldRule judges a value that the endpoint itself does not read. It may set what the call remembers.
type fieldRule func(c *call, raw json.RawMessage) error

var fieldRules = map[string]fieldRule{
	"user": pass, "rid": pass, "metadata": pass,
	"model":                  (*call).checkModel,
	"request_id":             (*call).takeRequestID,
	"cache_salt":             (*call).takeSalt,
	"task":                   (*call).checkTask,
	"normalize":              removed("use_activation came in its place"),
	"priority":               integer, // it changes no answer, and vLLM takes it where nothing is scheduled by it
	"stream":                 only("an answer comes whole", "false"),
	"truncate_prompt_tokens": only("nothing is cut off here, since a cut would lose steps; -1 is the model's own length", "-1"),
	"truncation_side":        only("nothing is cut off here", `"left"`, `"right"`),
	"max_tokens_per_query":   only("nothing is cut off here", "0"),
	"max_tokens_per_doc":     only("nothing is cut off here", "0"),
	"padding":                only("nothing is padded here", `"do_not_pad"`),
	"dimensions":             only("a score has no dimensions to choose"),
	"add_generation_prompt":  only("the answer is complete", "false"),
	"continue_final_message": only("the answer is complete", "false"),
	"chat_template":          only("the model's own is used"),
	"chat_template_kwargs":   only("the model's template is rendered without any", "{}"),
	"media_io_kwargs":        only("only text is read", "{}"),
	"mm_processor_kwargs":    only("only text is read", "{}"),
	"instruction":            only("the model's own text is used", `""`),
	"tools":                  only("the model's template is rendered without any", "[]"),
	"add_special_tokens":     only("the text is taken apart and laid out as the model wants it", "true", "false"),
	"use_activation":         only("it does not apply here"),
	"activation":             only("it does not apply here"),
	"softmax":                only("it does not apply here"),
	"encoding_format":        only("the answer is JSON", `"float"`),
	"embed_dtype":            only("the answer is JSON", `"float32"`),
	"endianness":             only("the answer is JSON", `"native"`),
}

func pass(*call, json.RawMessage) error { return nil }

// only lets pass values that mean what is done anyway.
func only(why string, values ...string) fieldRule {
	return func(_ *call, raw json.RawMessage) error {
		if slices.Contains(values, string(raw)) {
			return nil
		}
		return errors.New(why)
	}
}

func removed(instead string) fieldRule {
	return func(*call, json.RawMessage) error { return fmt.Errorf("was removed, %s", instead) }
}

func integer(_ *call, raw json.RawMessage) error {
	if _, err := strconv.ParseInt(string(raw), 10, 64); err != nil {
		return errors.New("not a whole number")
	}
	return nil
}

// fields decodes the body and judges what is left of it.
func (c *call) fields(into any) error {
	if err := checkBody(c.body); err != nil {
		return err
	}
	err := json.Unmarshal(c.body, into)
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong) && wrong.Field != "":
		return bad("%s: a %s is not what is expected there", wrong.Field, wrong.Value)
	case err != nil:
		return bad("the request: %v", err)
	}
	return c.otherFields(jsonNames(reflect.TypeOf(into).Elem()))
}

// otherFields judges the fields that the endpoint does not read. Null is no value.
func (c *call) otherFields(reads []string) error {
	var given map[string]json.RawMessage
	if err := json.Unmarshal(c.body, &given); err != nil {
		return bad("the request: %v", err)
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		raw := given[name]
		if slices.Contains(reads, name) || string(raw) == "null" && name != "normalize" {
			continue
		}
		rule, known := fieldRules[name]
		if !known {
			return bad("%s: not a field of %s, which reads %s", name, c.endpoint.path, strings.Join(reads, ", "))
		}
		var refused *RequestError
		switch err := rule(c, compact(raw)); {
		case errors.As(err, &refused):
			return err
		case err != nil:
			return bad("%s: %v; leave it out", name, err)
		}
	}
	return nil
}

// compact writes a value without the white space in an empty list or object.
func compact(raw json.RawMessage) json.RawMessage {
	if inner := strings.TrimSpace(string(raw[1:max(1, len(raw)-1)])); inner == "" && (raw[0] == '{' || raw[0] == '[') {
		return json.RawMessage{raw[0], raw[len(raw)-1]}
	}
	return raw
}

// jsonNames are the fields of a struct as JSON names them.
func jsonNames(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			names = append(names, jsonNames(f.Type)...)
		} else if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// checkModel takes the served name alone. Trainers send names of their own, which mean nothing.
func (c *call) checkModel(raw json.RawMessage) error {
	var name string
	if err := json.Unmarshal(raw, &name); err != nil {
		return bad("model: not a string")
	}
	if name != "" && name != c.info.Name && !c.endpoint.trainer {
		return withStatus(http.StatusNotFound, fmt.Errorf("model %q is not served here, %q is", name, c.info.Name))
	}
	return nil
}

func (c *call) takeRequestID(raw json.RawMessage) error {
	if err := json.Unmarshal(raw, &c.requestID); err != nil {
		return bad("request_id: not a string")
	}
	return nil
}

// takeSalt reads the request's texts without what others have left in the cache of beginnings, and leaves nothing there.
func (c *call) takeSalt(raw json.RawMessage) error {
	var salt string
	if err := json.Unmarshal(raw, &salt); err != nil || salt == "" || len(salt) > 1024 {
		return bad("cache_salt: not a string of 1 to 1024 bytes")
	}
	c.uncached = true
	return nil
}

// poolingTasks are vLLM's names; those that it removed are refused with what came in their place.
var poolingTasks = []string{"embed", "classify", "token_embed", "token_classify", "plugin", "embed&token_classify"}

func (c *call) checkTask(raw json.RawMessage) error {
	served := c.endpoint.task
	if served == taskOfModel {
		served = "token_classify"
		if !c.info.Steps {
			served = "classify"
		}
	}
	var task string
	if err := json.Unmarshal(raw, &task); err != nil {
		return bad("task: not a string")
	}
	switch {
	case served == "":
		return errors.New("it does not apply here")
	case task == served:
		return nil
	case task == "encode":
		return bad("task: \"encode\" was removed, token_embed and token_classify came in its place; %s is served here", served)
	case task == "score":
		return bad("task: \"score\" was removed, classify came in its place; %s is served here", served)
	case slices.Contains(poolingTasks, task):
		return bad("task: %q is not served here, %s is", task, served)
	}
	return bad("task: %q is none of %s; %s is served here", task, strings.Join(poolingTasks, ", "), served)
}
