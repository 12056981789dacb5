package report

import "strings"

// A Place is where a key is exchanged.
type Place struct {
	Of  string `json:"of"`
	URL string `json:"url"`
}

// places are the makers' own pages, by host. A host stands for those below it, too.
var places = []struct {
	host string
	Place
}{
	{"anthropic.com", Place{"Anthropic", "https://console.anthropic.com/settings/keys"}},
	{"openai.com", Place{"OpenAI", "https://platform.openai.com/api-keys"}},
	{"generativelanguage.googleapis.com", Place{"Google AI Studio", "https://aistudio.google.com/apikey"}},
	{"openrouter.ai", Place{"OpenRouter", "https://openrouter.ai/settings/keys"}},
	{"github.com", Place{"GitHub", "https://github.com/settings/tokens"}},
	{"gitlab.com", Place{"GitLab", "https://gitlab.com/-/user_settings/personal_access_tokens"}},
	{"npmjs.org", Place{"npm", "https://www.npmjs.com/settings/~/tokens"}},
	{"pypi.org", Place{"PyPI", "https://pypi.org/manage/account/token/"}},
	{"crates.io", Place{"crates.io", "https://crates.io/settings/tokens"}},
	{"amazonaws.com", Place{"AWS", "https://console.aws.amazon.com/iam/home#/security_credentials"}},
	{"huggingface.co", Place{"Hugging Face", "https://huggingface.co/settings/tokens"}},
}

// rotate finds where the key of a host is exchanged; ok is false for hosts that this program does not know.
func rotate(host string) (p Place, ok bool) {
	for _, one := range places {
		if host == one.host || strings.HasSuffix(host, "."+one.host) {
			return one.Place, true
		}
	}
	return p, false
}
