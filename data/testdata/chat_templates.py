"""Writes chat_templates.json: what Jinja2, set up as transformers does, renders for each template in it.

Usage: python3 chat_templates.py [TEMPLATE.jinja ...]   (needs jinja2 3.1; named files are rendered and stored without their source)
"""

import datetime
import json
import os
import sys

import jinja2
import jinja2.ext
import jinja2.sandbox

HERE = os.path.dirname(os.path.abspath(__file__))
MESSAGES = [
    {"role": "user", "content": "  a cat\n"},
    {"role": "assistant", "content": "<think>\nhm, é\n\n</think>\n\nyes\n\n"},
]


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def main():
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
    )
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda format: datetime.datetime.now().strftime(format)

    def render(source):
        return env.from_string(source).render(
            messages=MESSAGES, tools=None, documents=None, add_generation_prompt=False, bos_token="<s>", eos_token="</s>"
        )

    path = os.path.join(HERE, "chat_templates.json")
    with open(path, encoding="utf-8") as f:
        cases = json.load(f)
    if len(sys.argv) > 1:
        cases = [c for c in cases if "file" not in c]
        for name in sys.argv[1:]:
            with open(name, encoding="utf-8") as f:
                cases.append({"file": os.path.basename(name), "want": render(f.read())})
    for c in cases:
        if "source" in c:
            c["want"] = render(c["source"])
    with open(path, "w", encoding="utf-8") as f:
        json.dump(cases, f, ensure_ascii=False, indent=1)
        f.write("\n")


main()
