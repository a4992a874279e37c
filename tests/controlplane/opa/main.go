// Command opa answers what OPA says, by its own code, for as long as it is asked:
//
//	opa < questions.jsonl > answers.jsonl
//	opa cases DIR > cases.jsonl
//
// A question is one line: {"modules": {name: text}, "entries": ["data.p.deny"], "data": {}, "inputs": [{}], "show": false}.
// Its answer is one line: {"error": text, "code": text} where OPA refuses the modules, else {"answers": [[answer]]}, a
// list an input with an answer an entry: {"value": v} where it is defined, {"error": text, "code": text} where it failed,
// and beside either {"failed": [text]}, the builtins that failed, of which OPA makes undefined unless it is strict, and
// {"passed": [text]}, those that would have failed without rule indexes and early exits.
// With `show`, {"compiled": {name: text}} is what its compiler makes of the modules.
//
// A value keeps what JSON loses: {"n": "1.0"} a number as it is written, {"s": [v]} a set, {"o": [[k, v]]} an object; the
// rest is as in JSON.
//
// `cases` reads a folder of OPA's conformance suite, a case a line.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
)

// lineMax bounds a question. memoryMax is where the collector begins to work hard.
const (
	lineMax   = 64 << 20
	memoryMax = 1 << 30
)

func main() {
	debug.SetMemoryLimit(memoryMax)
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "opa:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	if len(arguments) == 2 && arguments[0] == "cases" {
		return list(arguments[1], encoder)
	}
	if len(arguments) != 0 {
		return errors.New("no argument, or `cases DIR`")
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, lineMax)
	for number := 1; lines.Scan(); number++ {
		var asked question
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		if err := encoder.Encode(ask(&asked)); err != nil {
			return err
		}
		// The caller waits for the answer.
		if err := out.Flush(); err != nil {
			return err
		}
	}
	return lines.Err()
}
