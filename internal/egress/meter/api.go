package meter

import (
	"path"
	"slices"
	"strings"
)

// An API is a model API whose responses say what was used. The zero value is none.
type API uint8

// The APIs that can be metered.
const (
	NoAPI     API = iota
	Messages      // Anthropic Messages
	Responses     // OpenAI Responses
	Chat          // OpenAI Chat Completions
)

// String names the API as its maker does, in lower case.
func (a API) String() string {
	switch a {
	case Messages:
		return "messages"
	case Responses:
		return "responses"
	case Chat:
		return "chat"
	}
	return "none"
}

// endings are the paths of the APIs. A gateway may put anything before them.
var endings = []struct {
	path string
	api  API
}{
	{"/v1/messages", Messages},
	{"/responses", Responses},
	{"/responses/compact", Responses}, // a conversation made shorter by a model; the same usage in a like document
	{"/chat/completions", Chat},
}

// Recognise tells the API by the method and the path, which is clean and unescaped. Only what is written exactly as the API
// has it is recognised.
func Recognise(method, path string) API {
	if method != "POST" {
		return NoAPI
	}
	for _, e := range endings {
		if strings.HasSuffix(path, e.path) {
			return e.api
		}
	}
	return NoAPI
}

// spending are the segments of paths that spend money wherever they stand: some gateways have no version in their paths.
// Sources: the API references of Anthropic, OpenAI and Amazon Bedrock (the last four).
var spending = []string{
	"messages", "responses", "completions", "complete", "batches", "embeddings", "images", "audio", "videos", "realtime",
	"fine_tuning", "fine-tunes", "evals", "assistants", "threads", "vector_stores",
	"invoke", "invoke-with-response-stream", "converse", "converse-stream",
}

// versions are the segments below which every path belongs to a model API.
var versions = []string{"v1", "v1alpha", "v1beta", "v1beta1"}

// gratis are the requests with POST to a model API that cost nothing, as patterns of what follows the version.
var gratis = []string{
	"messages/count_tokens", "responses/input_tokens", "responses/*/cancel",
	"files", "files/*", "uploads", "uploads/*/parts", "uploads/*/complete", "uploads/*/cancel",
	"moderations", "conversations", "conversations/*", "conversations/*/items", "oauth/token", "traces/ingest",
}

// Free reports whether a request to a metered host that is none of a recognised API costs nothing, as far as known. Free
// are GET, HEAD, OPTIONS and DELETE, what counts tokens, keeps files or signs in, and all that is not of the model API:
// neither below /v1/ nor named like one of its ways to spend money. Not free is the rest: what spends money and cannot be
// metered, and every other request below /v1/, known or not. A protocol upgrade is free only outside the model API, since
// nothing is known of what follows it.
func Free(method, path string, upgrade bool) bool {
	segments := strings.Split(strings.ToLower(path), "/")
	version := slices.IndexFunc(segments, func(s string) bool { return slices.Contains(versions, s) })
	spends := slices.ContainsFunc(segments, func(s string) bool { return slices.Contains(spending, s) })
	if version < 0 && !spends {
		return true
	}
	if upgrade {
		return false
	}
	switch method {
	case "GET", "HEAD", "OPTIONS", "DELETE":
		return true
	case "POST":
		return version >= 0 && isGratis(strings.Join(segments[version+1:], "/"))
	}
	return false
}

// isGratis reports whether a path below a version is one of the requests that cost nothing.
func isGratis(below string) bool {
	return slices.ContainsFunc(gratis, func(pattern string) bool {
		ok, err := path.Match(pattern, below)
		return err == nil && ok
	})
}
