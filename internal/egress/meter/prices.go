package meter

import (
	"cmp"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// A NanoUSD is a sum of money in billionths of a dollar: every price per million tokens is a whole number of it per token
// where it has no more than three decimals, so that sums of many small charges stay exact.
type NanoUSD int64

const nanosPerUSD = 1e9

// mostUSD is the most that is counted: far from where sums of int64 overflow.
const mostUSD = 1e9

// FromUSD turns dollars into a NanoUSD. What is not a number, or more than a billion, is a billion.
func FromUSD(usd float64) NanoUSD {
	if !(usd < mostUSD) {
		usd = mostUSD
	}
	return NanoUSD(math.Round(max(usd, 0) * nanosPerUSD))
}

// USD returns the sum in dollars.
func (n NanoUSD) USD() float64 { return float64(n) / nanosPerUSD }

// String writes the sum as "$5.00" or "$0.0123": with as many decimals as it takes to see something of it, four at most
// if there is something to see in four.
func (n NanoUSD) String() string {
	decimals := 4
	if n > -50_000 && n < 50_000 {
		decimals = 9
	}
	s := strconv.FormatFloat(math.Abs(n.USD()), 'f', decimals, 64)
	dot := strings.IndexByte(s, '.')
	for len(s) > dot+3 && s[len(s)-1] == '0' {
		s = s[:len(s)-1]
	}
	if n < 0 {
		return "-$" + s
	}
	return "$" + s
}

// A Price is what a model costs, in USD per million tokens if not said otherwise. What is zero besides Input and Output
// stands for what is usual at the dearest maker: a cache read costs what input costs, a cache write 1.25 times, one for an
// hour twice that, a thousand web searches $10, fast service twice everything.
type Price struct {
	Model          string
	Input          float64
	Output         float64
	CacheRead      float64
	CacheWrite     float64
	CacheWriteLong float64
	WebSearch      float64 // USD per 1000
	Fast           float64 // times everything else, see Usage.Fast
	// A prompt of more than LongFrom tokens, from caches or not, costs LongInput and LongOutput instead, and its cached
	// part more in proportion. LongFrom 0: it does not.
	LongFrom   int64
	LongInput  float64
	LongOutput float64
}

// regional is how much more it costs to be served in one region, at Anthropic.
const regional = 1.1

// whole fills in what is not said.
func (price Price) whole() Price {
	price.CacheRead = cmp.Or(price.CacheRead, price.Input)
	price.CacheWrite = cmp.Or(price.CacheWrite, price.Input*1.25)
	price.CacheWriteLong = cmp.Or(price.CacheWriteLong, price.Input*2)
	price.WebSearch = cmp.Or(price.WebSearch, 10)
	price.Fast = cmp.Or(price.Fast, 2)
	if price.LongFrom > 0 {
		price.LongInput = cmp.Or(price.LongInput, price.Input)
		price.LongOutput = cmp.Or(price.LongOutput, price.Output)
	}
	return price
}

// Cost is what the usage costs, in USD.
func (price Price) Cost(u Usage) float64 {
	price = price.whole()
	more := 1.0 // for cached input in a long prompt
	if price.LongFrom > 0 && u.read() > price.LongFrom {
		if price.Input > 0 {
			more = price.LongInput / price.Input
		}
		price.Input, price.Output = price.LongInput, price.LongOutput
	}
	cached := float64(u.CacheRead)*price.CacheRead + float64(u.CacheWrite)*price.CacheWrite + float64(u.CacheWriteLong)*price.CacheWriteLong
	tokens := float64(u.Input)*price.Input + float64(u.Output)*price.Output + cached*more
	if u.Fast {
		tokens *= price.Fast
	}
	if u.Regional {
		tokens *= regional
	}
	return tokens/1e6 + float64(u.WebSearches)*price.WebSearch/1e3
}

// Prices finds the price of a model.
type Prices struct {
	rows    map[string]Price
	dearest Price
}

// NewPrices returns the table with the overrides before it. They are matched by name in the same way.
func NewPrices(overrides []Price) *Prices {
	p := &Prices{rows: map[string]Price{}}
	for _, row := range append(append([]Price{}, overrides...), table...) {
		name := strings.ToLower(row.Model)
		if _, ok := p.rows[name]; ok {
			continue
		}
		p.rows[name] = row.whole()
		p.dearest = dearer(p.dearest, row.whole())
	}
	return p
}

// dearer takes the dearer of each figure.
func dearer(a, b Price) Price {
	from := max(a.LongFrom, b.LongFrom)
	if a.LongFrom > 0 && b.LongFrom > 0 {
		from = min(a.LongFrom, b.LongFrom)
	}
	return Price{
		Input: max(a.Input, b.Input), Output: max(a.Output, b.Output),
		CacheRead: max(a.CacheRead, b.CacheRead), CacheWrite: max(a.CacheWrite, b.CacheWrite), CacheWriteLong: max(a.CacheWriteLong, b.CacheWriteLong),
		WebSearch: max(a.WebSearch, b.WebSearch), Fast: max(a.Fast, b.Fast),
		LongFrom: from, LongInput: max(a.LongInput, b.LongInput, a.Input, b.Input), LongOutput: max(a.LongOutput, b.LongOutput, a.Output, b.Output),
	}
}

// prefixes are what clouds and gateways put before a maker's name of a model.
var prefixes = regexp.MustCompile(`^(?:(?:(?:us|eu|apac|jp|au|global)\.)?(?:anthropic|openai)\.|anthropic/|openai/|models/|publishers/(?:anthropic|openai)/models/)`)

// suffixes are what makers and clouds put after the name of a model without making it another: a day, "-latest", a revision
// of Bedrock's ("-v1:0"), one of Vertex's ("@20251101"), the size of the window ("[1m]").
var suffixes = regexp.MustCompile(`(?:-\d{8}|-\d{4}-\d{2}-\d{2}|-latest)?(?:-v\d+(?::\d+)?)?(?:@[0-9a-z-]+)?(?:\[[0-9]+[km]\])?$`)

// Of returns the price of a model, known or not. An unknown one costs the dearest of every figure there is. A name is known
// if it is that of a row, or one with what clouds, gateways and makers add to it.
func (p *Prices) Of(model string) (price Price, known bool) {
	name := strings.ToLower(model)
	for _, name := range []string{name, name[len(prefixes.FindString(name)):]} {
		if price, ok := p.rows[name]; ok {
			return price, true
		}
		if price, ok := p.rows[name[:suffixes.FindStringIndex(name)[0]]]; ok {
			return price, true
		}
	}
	return p.dearest, false
}
