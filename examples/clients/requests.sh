#!/bin/sh
# One request of each client, for a server at $1 (http://127.0.0.1:5000): prm serve --model DIR --name prm
set -eu
url=${1:-http://127.0.0.1:5000}
chat='<|im_start|>user\nWhat is 2+3?<|im_end|>\n<|im_start|>assistant\n<think>\nTwo and three.\n\nFive.\n</think>\n\nIt is \\boxed{5}.<|im_end|>\n'
ask() {
	echo "# $1"
	curl -sS --fail-with-body -H 'Content-Type: application/json' "$url$2" -d "$3"
	echo
}
ask 'every step'                '/v1/steps' '{"problem":"What is 2+3?","thinking":"Two and three.\n\nFive.","response":"It is 5."}'
ask 'OpenRLHF'                  '/get_reward' "{\"query\":[\"$chat\"],\"labels\":[\"5\"]}"
ask 'OpenRLHF, another URL'     '/get_reward' '{"query":[],"prompts":[],"labels":[]}'
ask 'slime, miles'              '/reward/remote_rm' '{"prompt":"What is 2+3?","response":"It is \\boxed{5}.","label":"5"}'
ask 'slime --reward-key reward' '/reward/remote_rm?as=object' '{"prompt":[{"role":"user","content":"What is 2+3?"}],"response":"It is \\boxed{6}.","label":"5"}'
ask "slime, a reward a token"    '/reward/remote_rm?as=object' '{"prompt":"What is 2+3?","response":"Five.","token_ends":[4,5]}'
ask 'LLaMA-Factory'             '/reward/llamafactory' "{\"model\":\"model\",\"messages\":[\"$chat\"]}"
ask 'vLLM pooling'              '/pooling' "{\"model\":\"prm\",\"input\":\"$chat\"}"
ask 'vLLM pooling, float16'     '/pooling' "{\"model\":\"prm\",\"input\":\"$chat\",\"encoding_format\":\"base64\",\"embed_dtype\":\"float16\"}"
ask 'vLLM classify, as verl'    '/classify' "{\"model\":\"prm\",\"input\":\"$chat\",\"activation\":false}"
ask 'vLLM score'                '/score' '{"model":"prm","text_1":"What is 2+3?","text_2":["It is 5.","It is 6."]}'
ask 'vLLM rerank'               '/v1/rerank' '{"model":"prm","query":"What is 2+3?","documents":["It is 6.","It is 5."],"top_n":1}'
ask 'SGLang, OpenAI'            '/v1/embeddings' "{\"model\":\"prm\",\"input\":\"$chat\"}"
ask 'SGLang score'              '/v1/score' '{"model":"prm","query":"What is 2+3?","items":["It is 5.","It is 6."]}'
