"""What the clients in this folder have in common: asking goprm servers, and where a policy's tokens end in its text."""
import json
import math
import random
import threading
import time
import urllib.error
import urllib.request

AGAIN = (408, 425, 429, 500, 502, 503, 504)  # a server that is full, starting, stopping or broken


FIELDS = ("reward", "score", "outcome", "prm", "prm_steps", "prm_min", "prm_last", "prm_trajectory", "graded", "unscored")


class NoReward(RuntimeError):
    """The server says that this text has no reward (status 413 or 422)."""


class Client:
    """Asks one of several servers, the next one where it does not answer, and all of them again after a wait that doubles.

    url: an address, several with commas between them, or a list. timeout: seconds for one answer. tries: rounds over all addresses.
    unscored: what a text has that the server gives no reward, or that no server answers for; None: an error that says what to set.
    """

    def __init__(self, url="http://127.0.0.1:5000", token=None, timeout=180, tries=8, unscored=None, longest_wait=30):
        self.urls = [u.strip().rstrip("/") for u in (url.split(",") if isinstance(url, str) else url) if u.strip()]
        if not self.urls:
            raise ValueError("url: set the address of a server, e.g. http://127.0.0.1:5000")
        self.token, self.timeout, self.tries, self.unscored, self.longest_wait = token, timeout, tries, unscored, longest_wait
        self.lock, self.first = threading.Lock(), 0

    def ask(self, path, body):
        """The JSON that a server answers. Raises NoReward, or RuntimeError where no server answers or the request is wrong."""
        data, failed, wait = json.dumps(body).encode(), {}, 0.5
        with self.lock:  # requests go round the servers
            first, self.first = self.first, self.first + 1
        for attempt in range(self.tries):
            asked_to_wait = 0.0
            for i in range(len(self.urls)):
                url = self.urls[(first + i) % len(self.urls)]
                try:
                    return self._once(url + path, data)
                except urllib.error.HTTPError as error:
                    text = error.read().decode(errors="replace")
                    if error.code in (413, 422):
                        raise NoReward(f"{url}{path}: {error.code}: {text}") from error
                    if error.code not in AGAIN:
                        raise RuntimeError(f"{url}{path}: {error.code}: {text}" + self._hint(error.code)) from error
                    failed[url] = f"{error.code}: {text}"
                    asked_to_wait = max(asked_to_wait, _seconds(error.headers.get("Retry-After")))
                except (OSError, ValueError) as error:  # URLError, a connection that breaks, an answer that is no JSON
                    failed[url] = str(error)
            if attempt < self.tries - 1:
                time.sleep(min(self.longest_wait, max(asked_to_wait, wait * random.uniform(0.5, 1))))
                wait *= 2
        said = "; ".join(f"{url}: {why}" for url, why in failed.items())
        raise RuntimeError(f"no goprm server has answered in {self.tries} rounds ({said}). Start one (prm serve), set url to where it "
                           "listens, raise tries or timeout, or set unscored to the reward that such texts shall have")

    def reward(self, body):
        """The object of /reward/remote_rm; where there is no reward, and unscored is set, one that has it as its reward. It has every one
        of FIELDS, NaN where the server has no such number: trainers stack them."""
        return {**dict.fromkeys(FIELDS, math.nan), "unscored": 0, **self._reward(body)}

    def _reward(self, body):
        try:
            return self.ask("/reward/remote_rm?as=object", body)
        except NoReward as error:
            if self.unscored is None:
                raise NoReward(f"{error}. Set unscored (here, or with prm serve --unscored) to the reward that such texts shall have") from error
        except RuntimeError as error:
            if self.unscored is None or "no goprm server has answered" not in str(error):
                raise
        answer = {"reward": self.unscored, "score": self.unscored, "graded": 0, "unscored": 1}
        if body.get("token_ends"):
            answer["token_rewards"] = [0.0] * (len(body["token_ends"]) - 1) + [self.unscored]
        return answer

    def _once(self, url, data):
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {self.token}"} if self.token else {})}
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=self.timeout) as reply:
            return json.load(reply)

    @staticmethod
    def _hint(status):
        return {401: ". Set token to the server's GOPRM_TOKEN", 404: ". Set url to the server's address, without a path"}.get(status, "")


class DenseScore(float):
    """A response's reward, which is all that verl's metrics want, and the rewards of its tokens. It stands here and not in verl_dense.py,
    which verl loads under a name that other processes cannot import."""

    def __new__(cls, reward, token_rewards):
        score = super().__new__(cls, reward)
        score.token_rewards = token_rewards
        return score

    def __reduce__(self):
        return DenseScore, (float(self), self.token_rewards)


def _seconds(text):
    try:
        return float(text or 0)
    except ValueError:
        return 0.0


def token_ends(tokenizer, ids, skip_special_tokens=False):
    """The text of ids as a policy has sampled them, and for each id how many characters of it are whole by then. The ids are taken as
    they are: encoding the text anew could give others."""
    def decode(part):
        return tokenizer.decode(part, skip_special_tokens=skip_special_tokens, clean_up_tokenization_spaces=False)

    ids = list(ids)
    text, ends, prefix, read = "", [], 0, 0
    for i in range(1, len(ids) + 1):
        before, now = decode(ids[prefix:read]), decode(ids[prefix:i])
        if len(now) > len(before) and (not now.endswith("\ufffd") or i == len(ids)):
            text += now[len(before):]
            prefix, read = read, i
        ends.append(len(text))
    return text, ends
