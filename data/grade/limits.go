package grade

// Every bound that keeps hostile input cheap. Beyond one of them an answer is no mathematics, or left undecided.
const (
	maxText      = 4 << 20 // bytes of a text in which an answer is looked for
	maxTail      = 1 << 15 // bytes at a text's end in which an answer without a box is looked for
	maxSentence  = 8192    // bytes of a sentence that are looked at
	maxStart     = 256     // bytes that tell whether mathematics begins at a place
	maxMarkers   = 16      // places of "the answer is" that are tried, from the last one on
	maxAnswer    = 4096    // bytes of an answer that is parsed
	maxTokens    = 2048    // tokens of an answer
	maxDepth     = 256     // nesting of rules of the grammar; a pair of brackets takes four or five
	maxExponent  = 4000    // decimal exponent of a number literal, as in 1E400
	maxBits      = 1 << 14 // bits of an exact numerator or denominator
	maxLog2      = 1 << 16 // magnitude of an inexact value, as a power of two
	maxFactorial = 1000
	maxTerms     = 1000   // terms of a sum or product that is evaluated
	maxNodes     = 20_000 // nodes of the entries of a matrix that is a product
	maxElements  = 256    // elements of a list, set, tuple or matrix
	maxSigns     = 16     // readings of an answer with ± signs
	maxWork      = 50_000 // operations of one comparison; a transcendental function counts as many
)

const (
	precision  = 512 // bits of inexact values
	sameBits   = 300 // two values are equal if they differ by less than 2^-sameBits, relative to the larger one or to 1
	doubleBits = 50  // of the 53 bits of a double, those that rounding errors leave
	farBits    = 240 // and different if they differ by more than 2^-farBits; in between nothing is said
)
