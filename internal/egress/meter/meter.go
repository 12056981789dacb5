// Package meter knows what model APIs report, what it costs, and when a budget is spent. Pure: it reads bytes, sends nothing.
//
// ParseRequest says what a request may cost at most, a Reader finds in the response, as it passes by, what was used, Prices
// make money of it, and a Ledger adds up and lets requests in.
//
// What it promises. The bytes of a response are not held: the same is found however they are cut into pieces, in a stream
// and in a document of any length. What cannot be known is taken at its dearest: a model without a price, a response that
// breaks off, a request that could be read in two ways (which is refused). With a limit set, a Ledger's total passes it by no
// more than what the request that was let in last costs; see Ledger.Reserve for what that rests on.
//
// What it does not. It takes the provider's word for what was used. It does not count what a provider asks for besides
// tokens and web searches (containers, file searches, images made by a tool), and it knows no discount (batches, flex
// tiers, free quotas, committed capacity), so that what is shown can be more than the bill. The bodies it is given are
// plain: who calls it takes off Content-Encoding, or sees to it that there is none.
//
// To add an API: 1 its name and path in api.go; 2 what its request says, request.go; 3 what its response says, reader.go;
// 4 its prices, table.go; 5 its refusal, Refusal below.
package meter

import "encoding/json"

// Usage is what a response says was used, in tokens if not said otherwise.
type Usage struct {
	Input          int64 // read by the model, neither from a cache nor into one
	Output         int64 // written by the model, its reasoning too
	CacheRead      int64 // read from a cache
	CacheWrite     int64 // read and written to a cache, for as long as is usual
	CacheWriteLong int64 // read and written to a cache for an hour
	WebSearches    int64 // searches that the provider made, in number
	Reasoning      int64 // the part of Output that was reasoning, where it is said
	Fast           bool  // it was served in a dearer, faster way ("speed": "fast", "service_tier": "priority")
	Regional       bool  // it was served in one region on request ("inference_geo": "us")
}

// Tokens counts what counts towards a budget in tokens: everything read and everything written.
func (u Usage) Tokens() int64 { return u.read() + u.Output }

// read is the length of the prompt, wherever it came from.
func (u Usage) read() int64 { return u.Input + u.CacheRead + u.CacheWrite + u.CacheWriteLong }

// Refusal is the answer to a request that the budget does not let in: the provider's own error, with a status after which
// its clients give up at once and show the message.
//
// A 429 would be the nearest in name, but clients take it as "later": they try again for minutes. Of 4xx, Claude Code
// stops at 400, 402 and 403; 402 is the Messages API's billing_error. OpenAI says insufficient_quota with 429; Codex
// repeats a request after 401, 402, 403 and 503, and stops at 400 with the message.
func Refusal(api API, message string) (status int, body []byte) {
	type fields = map[string]any
	status = 400
	answer := fields{"error": fields{"message": message, "type": "insufficient_quota", "param": nil, "code": "insufficient_quota"}}
	if api == Messages {
		status = 402
		answer = fields{"type": "error", "error": fields{"type": "billing_error", "message": message}}
	}
	body, err := json.Marshal(answer)
	if err != nil { // strings and nil: there is nothing in it that cannot be written
		return status, []byte("{}")
	}
	return status, body
}
