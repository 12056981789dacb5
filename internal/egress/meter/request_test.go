package meter

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRequests(t *testing.T) {
	const image = `{"type":"image","source":{"type":"base64","data":"` + "aGVsbG8" + `"}}`
	for what, test := range map[string]struct {
		api  API
		body string
		want Request
	}{
		"a message": {Messages, `{"model":"m","max_tokens":10,"stream":true,"messages":[` + image + `]}`,
			Request{Model: "m", MaxOutput: 10, Stream: true}},
		"a part for the cache": {Messages, `{"model":"m","system":[{"type":"text","cache_control":{"type":"ephemeral"}}]}`,
			Request{Model: "m", CacheWrites: true}},
		"a part for the cache, for an hour": {Messages, `{"messages":[{"content":[{"content":[{"cache_control":{"type":"ephemeral","ttl":"1h"}}]}]}]}`,
			Request{CacheWrites: true, LongCacheWrites: true}},
		"all of it for the cache": {Messages, `{"model":"m","cache_control":{"type":"ephemeral"}}`, Request{Model: "m", CacheWrites: true}},
		"a word of the cache in a text": {Messages, `{"model":"m","messages":[{"content":"\"cache_control\":{\"ttl\":\"1h\"}"}]}`,
			Request{Model: "m"}},
		"names with escapes": {Messages, `{"\u006dodel":"\u006d","max\u005ftokens":7}`, Request{Model: "m", MaxOutput: 7}},
		"a document at an address": {Messages, `{"messages":[{"content":[{"type":"document","source":{"type":"url","url":"https://a/"}}]}]}`,
			Request{Elsewhere: true}},
		"an address in a tool's schema": {Messages, `{"tools":[{"name":"fetch","input_schema":{"properties":{"url":{"type":"string"}}}}]}`,
			Request{}},
		"a tool of the provider": {Messages, `{"tools":[{"type":"web_search_20250305","name":"web_search"}]}`, Request{Elsewhere: true}},
		"fast":                   {Messages, `{"speed":"fast","inference_geo":"us"}`, Request{Fast: true, Regional: true}},
		"a response": {Responses, `{"model":"m","max_output_tokens":10,"stream":false,"background":false}`,
			Request{Model: "m", MaxOutput: 10, CacheWrites: true}},
		"a response to an earlier one":  {Responses, `{"previous_response_id":"r"}`, Request{CacheWrites: true, Elsewhere: true}},
		"a response to no earlier one":  {Responses, `{"previous_response_id":null}`, Request{CacheWrites: true}},
		"the priority tier":             {Responses, `{"service_tier":"priority"}`, Request{CacheWrites: true, Fast: true}},
		"an image in the body":          {Responses, `{"input":[{"content":[{"image_url":"data:image/png;base64,` + strings.Repeat("A", 400) + `"}]}]}`, Request{CacheWrites: true}},
		"an image elsewhere":            {Responses, `{"input":[{"content":[{"image_url":"https://a/b.png"}]}]}`, Request{CacheWrites: true, Elsewhere: true}},
		"a file elsewhere":              {Responses, `{"input":[{"content":[{"file_id":"f"}]}]}`, Request{CacheWrites: true, Elsewhere: true}},
		"a completion in the old words": {Chat, `{"model":"m","max_tokens":10}`, Request{Model: "m", MaxOutput: 10, CacheWrites: true}},
		"a completion in both words":    {Chat, `{"max_tokens":10,"max_completion_tokens":20}`, Request{MaxOutput: 20, CacheWrites: true}},
		"several answers":               {Chat, `{"max_tokens":10,"n":3}`, Request{MaxOutput: 30, CacheWrites: true}},
		"several answers of any length": {Chat, `{"n":2}`, Request{MaxOutput: 2 * DefaultOutput, CacheWrites: true}},
		"another API's word":            {Chat, `{"max_output_tokens":10,"Max_Output_Tokens":"x"}`, Request{CacheWrites: true}},
	} {
		t.Run(what, func(t *testing.T) {
			got, err := ParseRequest(test.api, []byte(test.body))
			if err != nil {
				t.Fatal(err)
			}
			test.want.Size = int64(len(test.body))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	for what, test := range map[string]struct {
		api       API
		body      string
		ambiguous bool
	}{
		"nothing":                            {Messages, ``, false},
		"blanks":                             {Messages, " \n", false},
		"no JSON":                            {Messages, `{"model":`, false},
		"an array":                           {Messages, `[{"model":"m"}]`, false},
		"two objects":                        {Messages, `{"model":"m"}{"model":"n"}`, false},
		"a BOM":                              {Messages, "\xef\xbb\xbf{}", false},
		"compressed":                         {Messages, "\x1f\x8b\x08\x00", false},
		"no API":                             {NoAPI, `{"model":"m"}`, false},
		"two models":                         {Messages, `{"model":"m","model":"n"}`, true},
		"one model twice":                    {Messages, `{"model":"m","model":"m"}`, true},
		"two models, one with an escape":     {Messages, `{"model":"m","m\u006fdel":"n"}`, true},
		"a model in capitals":                {Messages, `{"Model":"m"}`, true},
		"max_tokens with another letter s":   {Messages, "{\"max_token\u017f\":1}", true},
		"max_tokens twice":                   {Messages, `{"max_tokens":1,"max_tokens":100000}`, true},
		"stream twice":                       {Responses, `{"stream":true,"stream":false}`, true},
		"a model that is a number":           {Messages, `{"model":5}`, false},
		"a model that is an object":          {Messages, `{"model":{"name":"m"}}`, false},
		"a model that is too long":           {Messages, `{"model":"` + strings.Repeat("m", maxText) + `"}`, false},
		"a number of tokens in quotes":       {Messages, `{"max_tokens":"10"}`, false},
		"a number of tokens below nothing":   {Messages, `{"max_tokens":-1}`, false},
		"a number of tokens with a fraction": {Messages, `{"max_tokens":1.5}`, false},
		"a number of tokens out of reach":    {Messages, `{"max_tokens":99999999999999999999}`, false},
		"answers out of reach":               {Chat, `{"n":1000000000,"max_tokens":4000000000}`, false},
		"a stream that is a number":          {Chat, `{"stream":1}`, false},
		"work in the background":             {Responses, `{"model":"m","background":true}`, false},
	} {
		t.Run(what, func(t *testing.T) {
			got, err := ParseRequest(test.api, []byte(test.body))
			if err == nil || errors.Is(err, ErrAmbiguous) != test.ambiguous {
				t.Errorf("%+v, %v", got, err)
			}
			if got != (Request{}) {
				t.Errorf("there is something in it: %+v", got)
			}
		})
	}
}

func BenchmarkParseRequest(b *testing.B) {
	tool := `{"name":"t","input_schema":{"type":"object","properties":{"url":{"type":"string","description":"` + strings.Repeat("words ", 500) + `"}}}},`
	body := []byte(`{"model":"m","max_tokens":10,"tools":[` + strings.TrimSuffix(strings.Repeat(tool, 25), ",") + `]}`)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, err := ParseRequest(Messages, body); err != nil {
			b.Fatal(err)
		}
	}
}
