// Renders a corpus of templates by Go's own engine and Sprig, and writes down what came out.
//
// Usage: go run . < templates.json > results.json
//
// Input and output: {"vars": {...}, "cases": [{"template": ..., "group": ...}]}; each case gains "output" or "error".
package main

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"log"
	"net/url"
	"os"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
)

type testCase struct {
	Template string  `json:"template"`
	Output   *string `json:"output,omitempty"`
	Error    string  `json:"error,omitempty"`
	Group    string  `json:"group"`
}

type corpus struct {
	Vars  map[string]any `json:"vars"`
	Cases []testCase     `json:"cases"`
}

// Lynq's own functions, which go over Sprig's where names meet.
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
	}
}

func render(source string, vars map[string]any) (string, error) {
	t, err := template.New("template").Option("missingkey=error").Funcs(sprig.TxtFuncMap()).Funcs(lynq()).Parse(source)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	err = t.Execute(&b, vars)
	return b.String(), err
}

func main() {
	var c corpus
	if err := json.NewDecoder(os.Stdin).Decode(&c); err != nil {
		log.Fatal(err)
	}
	text, err := json.Marshal(c.Vars)
	if err != nil {
		log.Fatal(err)
	}
	for i := range c.Cases {
		var vars map[string]any // a fresh copy: a template may change it
		if err := json.Unmarshal(text, &vars); err != nil {
			log.Fatal(err)
		}
		k := &c.Cases[i]
		k.Output, k.Error = nil, ""
		out, err := render(k.Template, vars)
		if err != nil {
			k.Error = err.Error()
		} else {
			k.Output = &out
		}
	}
	enc := json.NewEncoder(os.Stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(c); err != nil {
		log.Fatal(err)
	}
}
