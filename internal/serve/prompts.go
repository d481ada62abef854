package serve

import (
	"regexp"
	"strings"

	"github.com/goprm/goprm/data"
)

// turnMark finds where a turn begins in what chat templates write. The roles think and answer, by which s1 marks its thinking in ChatML,
// are no turns.
var turnMark = regexp.MustCompile(strings.Join([]string{
	`<\|im_start\|>(system|developer|user|assistant|tool)(?:\n|<\|im_sep\|>)`,          // ChatML, Qwen, InternLM; Phi-4
	`<\|(?:start_header_id|header_start)\|>(\w+)<\|(?:end_header_id|header_end)\|>\s*`, // Llama 3 and 4
	`<[|｜](?:hy_)?(User|Assistant)[|｜]>`,                                               // DeepSeek, Hunyuan
	`(\[/?INST\])`,                                                                     // Llama 2, Mistral
	`<(?:start_of_turn|\|turn)>(system|developer|user|model|tool)\n`,                   // Gemma
	`<\|(system|user|assistant|observation|tool)\|>\n?`,                                // Phi-3, GLM-4, Zephyr, OLMo
	`<\|start\|>(system|developer|user|assistant|tool)(?:<\|message\|>)?`,              // gpt-oss; its answers begin with a channel
	`<\|START_OF_TURN_TOKEN\|><\|(SYSTEM|USER|CHATBOT)_TOKEN\|>`,                       // Command
	`<\|start_of_role\|>(system|user|assistant|tool)(?:<\|end_of_role\|>)`,             // Granite
	`<\|im_(system|user|assistant)\|>[^<\n]*<\|im_middle\|>`,                           // Kimi K2
	`<seed:bos>(system|user|assistant|tool)\n`,                                         // Seed-OSS
	`\]~b\](system|user|ai|tool)[^\n]*\n`,                                              // MiniMax
}, "|"))

// endTokens close a turn or a text, or pad it.
var endTokens = []string{
	"<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|eot|>", "<|end_of_text|>", "<|endoftext|>", "</s>", "<|end|>", "<|return|>",
	"<｜end▁of▁sentence｜>", "<|end▁of▁sentence|>", "<|hy_place▁holder▁no▁2|>", "<｜hy_place▁holder▁no▁2｜>",
	"<end_of_turn>", "<turn|>", "<eos>", "<pad>", "<|END_OF_TURN_TOKEN|>", "<seed:eos>", "[e~[",
	"<|user|>", "<|observation|>", // GLM-4 ends its answers with the mark of the next turn
}

var roles = map[string]string{
	"User": "user", "USER": "user", "[INST]": "user",
	"Assistant": "assistant", "[/INST]": "assistant", "model": "assistant", "CHATBOT": "assistant", "ai": "assistant",
	"SYSTEM": "system", "developer": "system",
}

// wordForms are templates whose marks are words. They are looked for where a text has no other marks, and only where both words stand
// at the beginning or behind white space.
var wordForms = []struct{ user, assistant *regexp.Regexp }{
	wordForm("### Instruction:", "### Response:"), // Alpaca
	wordForm("### Human:", "### Assistant:"),
	wordForm("USER:", "ASSISTANT:"),  // Vicuna
	wordForm("User:", "Assistant:"),  // R1-Zero, DeepSeek-V2
	wordForm("Human:", "Assistant:"), // HH
}

func wordForm(user, assistant string) struct{ user, assistant *regexp.Regexp } {
	mark := func(word string) *regexp.Regexp {
		return regexp.MustCompile(`(?:^|\s|</s>)` + regexp.QuoteMeta(word) + `\s*`)
	}
	return struct{ user, assistant *regexp.Regexp }{mark(user), mark(assistant)}
}

// turns are what a text holds between its marks; nil if it has none. What stands before the first mark is the beginning of the text,
// or a system message.
func turns(text string) []data.Turn {
	for _, end := range []string{"<|user|>", "<|observation|>"} {
		text = strings.TrimSuffix(text, end)
	}
	marks := turnMark.FindAllStringSubmatchIndex(text, -1)
	var list []data.Turn
	for i, m := range marks {
		end := len(text)
		if i+1 < len(marks) {
			end = marks[i+1][0]
		}
		var role string
		for g := 2; g < len(m); g += 2 {
			if m[g] >= 0 {
				role = text[m[g]:m[g+1]]
			}
		}
		if r, ok := roles[role]; ok {
			role = r
		}
		if n := len(list); n > 0 && role == "assistant" && list[n-1].Role == role && strings.HasPrefix(text[m[0]:], "<|start|>") {
			list[n-1].Content += text[m[0]:end] // the next channel of the same answer
			continue
		}
		list = append(list, data.Turn{Role: role, Content: text[m[1]:end]})
	}
	if list == nil {
		return wordTurns(text)
	}
	return withoutSystem(list)
}

// withoutSystem takes the system text off that Llama 2 writes into the user's first turn.
func withoutSystem(list []data.Turn) []data.Turn {
	for i, t := range list {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(t.Content), "<<SYS>>"); ok && t.Role == "user" {
			if _, user, closed := strings.Cut(rest, "<</SYS>>"); closed {
				list[i].Content = user
			}
		}
	}
	return list
}

// wordTurns are those of a template whose marks are words. The assistant's has to be there: it is what a prompt ends with.
func wordTurns(text string) []data.Turn {
	for _, form := range wordForms {
		users := form.user.FindAllStringIndex(text, -1)
		if len(users) == 0 {
			continue
		}
		answer := form.assistant.FindStringIndex(text[users[0][1]:])
		if answer == nil {
			continue
		}
		begin, end := answer[0]+users[0][1], answer[1]+users[0][1]
		list := []data.Turn{{Role: "user", Content: text[users[0][1]:begin]}, {Role: "assistant", Content: text[end:]}}
		if len(users) > 1 { // question refuses it
			list = append(list, data.Turn{Role: "user", Content: text[users[1][1]:]})
		}
		return list
	}
	return nil
}

// channel finds where a channel of gpt-oss's answers begins.
var channel = regexp.MustCompile(`(?:<\|start\|>assistant)?<\|channel\|>(\w+)[^<]*<\|message\|>`)

// plainChannels writes an answer in channels as thinking, which is all that is not final, and response. Another answer stays as it is.
func plainChannels(answer string) string {
	marks := channel.FindAllStringSubmatchIndex(answer, -1)
	if len(marks) == 0 {
		return answer
	}
	var thinking, response []string
	for i, m := range marks {
		end := len(answer)
		if i+1 < len(marks) {
			end = marks[i+1][0]
		}
		text := trimEnd(answer[m[1]:end])
		if answer[m[2]:m[3]] == "final" {
			response = append(response, text)
		} else {
			thinking = append(thinking, text)
		}
	}
	plain := strings.Join(response, "\n\n")
	if len(thinking) > 0 {
		plain = "<think>\n" + strings.Join(thinking, "\n\n") + "\n</think>\n\n" + plain
	}
	return plain
}

// controlToken finds what templates alone write: in a problem it means that the prompt's form was not understood.
var controlToken = regexp.MustCompile(strings.Join([]string{
	`<\|[^\s|<>]{1,40}\|>`, `<｜[^\s｜<>]{1,40}｜>`, `</?s>`, `<(?:bos|eos|pad|unk|sop|eop)>`, `<</?SYS>>`, `<(?:start|end)_of_turn>`,
	`<seed:\w+>`, `<\|turn>`, `<turn\|>`, `\[/?(?:INST|gMASK|MASK|SYSTEM_PROMPT)\]`, `\]~b\]`, `\[e~\[`,
}, "|"))

// trajectory is a problem with what a policy answered.
func (c *call) trajectory(problem, answer string) *data.Trajectory {
	if token := controlToken.FindString(problem); token != "" && token != c.info.Mark {
		c.metrics.controlTokens.Inc()
		c.warnControl.Do(func() {
			c.opt.Logger.Warn("a problem holds a control token: the form of its prompt is not known, and is read as part of the problem; "+
				"further ones are counted in goprm_control_token_problems_total", "token", token, "endpoint", c.endpoint.path)
		})
	}
	return trajectory(problem, answer, c.info.Mark)
}
