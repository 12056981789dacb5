package meter

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWhatIsRecognisedAndWhatIsFree(t *testing.T) {
	type want struct {
		api  API
		free bool
	}
	for what, test := range map[string]struct {
		method, path string
		upgrade      bool
		want         want
	}{
		"a message":                                 {"POST", "/v1/messages", false, want{api: Messages}},
		"a message behind a gateway":                {"POST", "/team/anthropic/v1/messages", false, want{api: Messages}},
		"a response":                                {"POST", "/v1/responses", false, want{api: Responses}},
		"a response at a path without a version":    {"POST", "/backend-api/codex/responses", false, want{api: Responses}},
		"a conversation made shorter":               {"POST", "/v1/responses/compact", false, want{api: Responses}},
		"a completion":                              {"POST", "/v1/chat/completions", false, want{api: Chat}},
		"a completion of a deployment":              {"POST", "/openai/deployments/d/chat/completions", false, want{api: Chat}},
		"counting tokens":                           {"POST", "/v1/messages/count_tokens", false, want{free: true}},
		"counting tokens at OpenAI":                 {"POST", "/v1/responses/input_tokens", false, want{free: true}},
		"the list of models":                        {"GET", "/v1/models", false, want{free: true}},
		"a stored response":                         {"GET", "/v1/responses/resp_1", false, want{free: true}},
		"a response given up":                       {"POST", "/v1/responses/resp_1/cancel", false, want{free: true}},
		"the start of Claude Code":                  {"HEAD", "/", false, want{free: true}},
		"telemetry":                                 {"POST", "/api/event_logging/v2/batch", false, want{free: true}},
		"a token of OAuth":                          {"POST", "/v1/oauth/token", false, want{free: true}},
		"a file":                                    {"POST", "/v1/files", false, want{free: true}},
		"a batch of messages":                       {"POST", "/v1/messages/batches", false, want{}},
		"a batch":                                   {"POST", "/v1/batches", false, want{}},
		"embeddings":                                {"POST", "/v1/embeddings", false, want{}},
		"embeddings behind a gateway":               {"POST", "/openai/v1/embeddings", false, want{}},
		"embeddings of a deployment":                {"POST", "/openai/deployments/d/embeddings", false, want{}},
		"an image":                                  {"POST", "/v1/images/generations", false, want{}},
		"speech":                                    {"POST", "/v1/audio/speech", false, want{}},
		"a video":                                   {"POST", "/v1/videos", false, want{}},
		"training":                                  {"POST", "/v1/fine_tuning/jobs", false, want{}},
		"a legacy completion":                       {"POST", "/v1/completions", false, want{}},
		"Anthropic's legacy completion":             {"POST", "/v1/complete", false, want{}},
		"Bedrock":                                   {"POST", "/model/anthropic.claude/invoke", false, want{}},
		"something unknown of the API":              {"POST", "/v1/news", false, want{}},
		"a method unknown of the API":               {"PATCH", "/v1/files/f", false, want{}},
		"the API in capitals":                       {"POST", "/V1/Messages", false, want{}},
		"the API with a slash at the end":           {"POST", "/v1/messages/", false, want{}},
		"a WebSocket of responses":                  {"GET", "/v1/responses", true, want{}},
		"a WebSocket of responses without version":  {"GET", "/backend-api/codex/responses", true, want{}},
		"a WebSocket of a deployment":               {"GET", "/openai/realtime", true, want{}},
		"an HTTP/2 WebSocket":                       {"CONNECT", "/v1/realtime", true, want{}},
		"a WebSocket of something else":             {"GET", "/mcp/socket", true, want{free: true}},
		"what only ends like an API in another way": {"POST", "/v1/xresponses", false, want{}},
	} {
		t.Run(what, func(t *testing.T) {
			got := want{Recognise(test.method, test.path), Free(test.method, test.path, test.upgrade)}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(want{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRefusal(t *testing.T) {
	type answer struct {
		Status int
		Body   string
	}
	for api, want := range map[API]answer{
		Messages:  {402, `{"error":{"message":"no \"more\"","type":"billing_error"},"type":"error"}`},
		Responses: {400, `{"error":{"code":"insufficient_quota","message":"no \"more\"","param":null,"type":"insufficient_quota"}}`},
		Chat:      {400, `{"error":{"code":"insufficient_quota","message":"no \"more\"","param":null,"type":"insufficient_quota"}}`},
	} {
		status, body := Refusal(api, `no "more"`)
		if diff := cmp.Diff(want, answer{status, string(body)}); diff != "" {
			t.Errorf("%v: %s", api, diff)
		}
	}
}
