// Renders templates by Go's own engine and Sprig: a line of JSON in, a line of JSON out, until the input ends.
//
// In: {"template": "...", "vars": {...}}. Out: {"output": "..."} or {"error": "..."}.
package main

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"math"
	"net/url"
	"os"
	"sort"
	"strconv"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
)

const maxOutputBytes = 8 << 20

type request struct {
	Template string         `json:"template"`
	Vars     map[string]any `json:"vars"`
}

type answer struct {
	Output *string `json:"output,omitempty"`
	Error  string  `json:"error,omitempty"`
}

// A buffer that refuses to grow without a bound.
type output struct{ bytes.Buffer }

func (o *output) Write(p []byte) (int, error) {
	if o.Len()+len(p) > maxOutputBytes {
		return 0, errors.New("the output is too long")
	}
	return o.Buffer.Write(p)
}

// Lynq's own functions, which go over Sprig's where names meet. Its int, float and bool mark their results for a
// later step that makes typed values of them; here they give the values themselves.
func lynq() template.FuncMap {
	return template.FuncMap{
		"trunc63": func(s string) string {
			if len(s) > 63 {
				return s[:63]
			}
			return s
		},
		"sha1sum": func(s string) string { h := sha1.Sum([]byte(s)); return hex.EncodeToString(h[:]) },
		"fromJson": func(s string) any {
			var v any
			if err := json.Unmarshal([]byte(s), &v); err != nil {
				return map[string]any{}
			}
			return v
		},
		"toHost": func(s string) string {
			if u, err := url.Parse(s); err == nil && u.Host != "" {
				return u.Hostname()
			}
			return strings.SplitN(s, ":", 2)[0]
		},
		"int":   toInt,
		"float": toFloat,
		"bool":  toBool,
	}
}

func toInt(v any) int {
	switch v := v.(type) {
	case int:
		return v
	case int64:
		return int(v)
	case int32:
		return int(v)
	case uint8:
		return int(v)
	case uint32:
		return int(v)
	case uint64:
		return int(v)
	case float64:
		return truncated(v)
	case bool:
		if v {
			return 1
		}
	case string:
		if n, err := strconv.ParseInt(v, 10, 64); err == nil {
			return int(n)
		}
		if f, err := strconv.ParseFloat(v, 64); err == nil {
			return truncated(f)
		}
	}
	return 0
}

func truncated(f float64) int {
	if math.IsNaN(f) || f < math.MinInt64 || f >= math.MaxInt64 {
		return math.MinInt64
	}
	return int(f)
}

func toFloat(v any) float64 {
	switch v := v.(type) {
	case int:
		return float64(v)
	case int64:
		return float64(v)
	case int32:
		return float64(v)
	case uint8:
		return float64(v)
	case uint32:
		return float64(v)
	case uint64:
		return float64(v)
	case float64:
		return v
	case bool:
		if v {
			return 1
		}
	case string:
		if f, err := strconv.ParseFloat(v, 64); err == nil {
			return f
		}
	}
	return 0
}

func toBool(v any) bool {
	switch v := v.(type) {
	case bool:
		return v
	case int:
		return v != 0
	case int64:
		return v != 0
	case int32:
		return v != 0
	case uint8:
		return v != 0
	case uint32:
		return v != 0
	case uint64:
		return v != 0
	case float64:
		return v != 0
	case string:
		switch strings.ToLower(v) {
		case "true", "1", "yes", "on", "t", "y":
			return true
		}
	}
	return false
}

// Sprig walks maps in an order that changes from run to run; by the order of the keys there is something to compare.
func ordered() template.FuncMap {
	return template.FuncMap{
		"keys": func(maps ...map[string]any) []string {
			made := []string{}
			for _, m := range maps {
				made = append(made, sorted(m)...)
			}
			return made
		},
		"values": func(m map[string]any) []any {
			made := []any{}
			for _, k := range sorted(m) {
				made = append(made, m[k])
			}
			return made
		},
	}
}

func sorted(m map[string]any) []string {
	made := []string{}
	for k := range m {
		made = append(made, k)
	}
	sort.Strings(made)
	return made
}

func render(base *template.Template, source string, vars map[string]any) (text string, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	t, err := template.Must(base.Clone()).New("template").Option("missingkey=error").Parse(source)
	if err != nil {
		return "", err
	}
	var b output
	err = t.Execute(&b, vars)
	return b.String(), err
}

func main() {
	base := template.New("base").Funcs(sprig.TxtFuncMap()).Funcs(lynq()).Funcs(ordered())
	in := bufio.NewReaderSize(os.Stdin, 1<<16)
	out := bufio.NewWriterSize(os.Stdout, 1<<16)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	dec := json.NewDecoder(in)
	for dec.More() {
		var r request
		if err := dec.Decode(&r); err != nil {
			log.Fatal(err)
		}
		var a answer
		if text, err := render(base, r.Template, r.Vars); err != nil {
			a.Error = err.Error()
			if a.Error == "" {
				a.Error = "an error without a text"
			}
		} else {
			a.Output = &text
		}
		if err := enc.Encode(a); err != nil {
			log.Fatal(err)
		}
		if err := out.Flush(); err != nil {
			log.Fatal(err)
		}
	}
}
