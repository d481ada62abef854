package grade

import (
	"regexp"
	"slices"
	"strings"
)

var (
	// silent words never say anything about a number.
	silent = setOf(`a an the in of is total each all altogether exactly about approximately approx roughly around respectively only just st
		nd rd th equal equals is are was value answer square unit units cubic whole it its there are`)
	// harmless words may be left out by one side: they name what is counted, which the question says.
	harmless = setOf(`a.m p.m apple orange banana pear egg cookie cake pie pizza slice piece candy chocolate sandwich bottle
		glass bowl plate box bag pack packet package basket jar can people person man woman men women child children kid boy
		girl student teacher adult friend player team member employee worker visitor guest passenger customer voter family
		couple car bus truck train bike bicycle boat plane ship seat ticket trip ride wheel book page word letter chapter line
		pencil pen crayon marker notebook paper sheet card stamp sticker coin bill toy doll ball marble bead block brick tile
		stick stone rock flower rose tree plant leaf leaves seed bush dog cat bird fish horse cow sheep pig chicken duck goat
		rabbit animal insect bee ant house room floor window door table chair desk shelf shirt shoe sock hat dress pair button
		way time step point number integer digit element solution root factor divisor multiple term prime side edge vertex
		vertice face triangle square rectangle circle angle diagonal permutation combination arrangement choice outcome
		possibility case subset triple set group value path route sequence function quadruple tuple game round match goal lap
		race move turn roll flip draw test question problem exam class lesson grade vote score mark item object thing unit
		figure shape color colour gift present photo picture song movie video message call job task project order meal dinner
		lunch serving portion spoon drop field farm garden row column stack pile bunch bundle tank bucket 人 个 种 本 只
		名 条 件 张 次 棵 辆 头 位 岁 块 支 对 组 套 双 题 页 步 根 间 台 朵 颗 粒 份 箱 袋 瓶 杯
		班 枝 片 户 座 盒 排 种方法 个人 名学生 种不同的方法 单位 cheese soldier monkey mango peach grape
		lemon berry strawberry tomato potato carrot onion bean nut peanut donut doughnut muffin cupcake brownie lollipop gumball
		farmer nurse doctor dancer singer runner tourist camper cyclist driver gardener baker painter artist musician kitten
		puppy puppies kitty fox frog turtle butterfly pet kite puzzle balloon lamp light bulb computer phone laptop tablet
		battery tire key ring necklace bracelet earring scarf glove jacket coat pant painting poster magazine newspaper envelope
		postcard folder binder ruler eraser clip city town country state school library building store shop stair street old
		long tall wide high deep away ago arithmetic geometric consecutive independent unique distinguishable lattice zero
		intersection inversion real distinct possible different positive ordered valid such required needed sold made left
		remaining earned spent saved collected bought used eaten read shared apiece passed red blue green yellow white black
		orange purple pink brown gray grey golden silver small large big little tiny huge fresh new young gummy bear square-foot
		rectangular circular triangular round wooden plastic glass paper album almond apartment app appointment apricot article
		attendee baby badge bagel balcony bale bandage bank barrel batch battalion beaker bed bedroom blouse blueberry board
		bolt bookcase boot branch brother browny brownie bug burger burrito business cactus cage camel camera candle canoe
		castle cell chandelier check cheerleader cherry chip client cloth cloud cluster coach company container corn coupon
		cousin cow crab crate croissant cube cubes cucumber cup customer cycle daughter deck delegate designer device diamond
		diaper die dish doe donkey dot download dragon dress drink dumpling ear eagle eggplant elephant email emerald engine
		engineer entry envelope error fan farm feather fence festival file film firework flag flight flashcard flavor flavour
		floor folder fork fountain fruit function gallery gate gear gem gnome gun guest hamburger hamster handshake hat head
		helmet hen herd hexagon hole home hotdog hotel inhabitant instrument intersection island jewel joke juice keychain
		kernel kind kiwi knight knife ladder lamb landlord lane lantern leg lily lime lion litter loave loaf log lorry machine
		magnet manager mask mat measure medal meeting melon memory menu mile-marker milkshake minion mirror mitten monitor
		monomial motorcycle mouse mushroom nail nation neighbor neighbour neighborhood nest night novel octagon offer office
		olive onion orchid outfit owl pack pad pad paddle pail pan parent parrot party passport pastry patient peach pebble
		penguin pentagon pepper petal phone photograph piano pigeon pilot pin pineapple pitcher plank planet plot plum polygon
		pool popsicle post pot potato prize problem program project proof puddle pump pumpkin pupil quarterback quiz rabbit
		racer raffle raisin raspberry razor recipe region report request resident restaurant rhombus rider road robot rod roll
		roof rope rug sack sailor salad sausage scarve scene scientist scoop screw semester senator session shark shell shelve
		ship shovel sibling sign signature sister skirt slide snack snowball sofa son speaker spider spot spring square squirrel
		stair star statue stem stitch stool stop stripe stroke sub sum suit suitcase sunflower surfer sweet sweater swimmer
		symbol tadpole tail teammate term tent test theater tile tin toothpick toothbrush tower towel tractor trail tray treat
		trophy tub tube tulip tunnel turkey twin umbrella unicorn user vacation van vase vector vegetable vehicle video village
		villager violin volunteer waiter wall walnut warrior washer watch watermelon weapon wedding whale wheat wolve wolf word
		worm zebra zero pixel proposal parallelogram trapezoid cylinder prism pyramid sphere cone partition tiling coloring
		colouring string matrix matrice state node edge cycle digit codeword password pin-code plate seating committee ordering
		rearrangement selection pairing divisors`)
)

// sameWords tells whether the words beside two numbers say the same: they are the same, or one side has none and those of the
// other may be left out. Words that bound or turn a value (more, least, north, loss) are on no list.
func sameWords(a, b []string) bool {
	a, b = telling(a), telling(b)
	if slices.Equal(a, b) {
		return true
	}
	if len(a) > 0 && len(b) > 0 {
		return false
	}
	return !slices.ContainsFunc(slices.Concat(a, b), func(w string) bool {
		return !harmless[w] && !isCounted(w) && !strings.HasPrefix(w, ofWhat)
	})
}

// isCounted tells whether a Chinese word begins with a measure word and bounds nothing: 种情况.
func isCounted(w string) bool {
	r := []rune(w)
	const counters = "个种本只名条件张次棵辆头位块支对组套双题页间台朵颗粒份箱袋瓶杯枝片户盒排人"
	return len(r) > 1 && strings.ContainsRune(counters, r[0]) && !strings.ContainsAny(w, "以多余半")
}

// harmlessBefore are words that say nothing before a number. Others make another value of it: square root of 12, multiples of 12.
var harmlessBefore = setOf(`point number total answer value area length result sum about approximately
		probability perimeter volume distance average mean median minimum maximum height width radius diameter slope ratio price cost speed
		time age final required desired at`)

// tells tells whether words before a number make another value of it.
func tells(before []string) bool {
	return slices.ContainsFunc(before, func(w string) bool { return !harmlessBefore[w] && (!silent[w] || w == "square" || w == "root") })
}

func telling(words []string) []string {
	var out []string
	for _, w := range words {
		w = synonym(w)
		if w != "" && !silent[w] {
			out = append(out, w)
		}
	}
	slices.Sort(out)
	return out
}

// synonym is one spelling of words with several.
func synonym(w string) string {
	switch strings.Trim(w, ".") {
	case "am", "a.m":
		return "a.m"
	case "pm", "p.m":
		return "p.m"
	case "r", "rem", "remainder":
		return "remainder"
	case "people":
		return "person"
	case "children":
		return "child"
	}
	return w
}

// differentWords tells two answers in words apart; one may say the same as the other and more: odd, odd function.
func (g *grader) differentWords(a, b string) Decision {
	a, b = " "+strings.ToLower(plainText(a))+" ", " "+strings.ToLower(plainText(b))+" "
	if strings.Contains(a, b) || strings.Contains(b, a) {
		return g.undecided("one answer is a part of the other")
	}
	return g.no("the answers are different words")
}

// isRun tells whether s is letters, perhaps with digits behind some: tea, Kd5, H2O.
func isRun(s string) bool {
	letters := 0
	for i := range len(s) {
		switch {
		case isLetter(s[i]):
			letters++
		case i == 0 || !isDigit(s[i]):
			return false
		}
	}
	return letters > 1
}

// differentRuns tells whether both answers are runs of the same letters in another order, which are words or products: ab and
// ba may be either, so that nothing is said. One that is written as a product decides (ab + c, 2xy, a \cdot b).
func differentRuns(a, b string) bool {
	a, b = plainText(a), plainText(b)
	if numbered.MatchString(a) && leadingDigits.MatchString(b) || numbered.MatchString(b) && leadingDigits.MatchString(a) {
		return sameBytes(a, b) // D3 and 3D
	}
	if len(a) != len(b) || len(a) < 2 || a == b || !isRun(a) || !isRun(b) || strings.EqualFold(a, b) && isWord(a) {
		return false
	}
	return sameBytes(strings.ToLower(a), strings.ToLower(b))
}

// numbered is a letter before digits, which is a name more often than a product; leadingDigits the other way round.
var numbered, leadingDigits = regexp.MustCompile(`^[A-Za-z]\d+$`), regexp.MustCompile(`^\d+[A-Za-z]$`)

// sameBytes tells whether two texts have the same bytes in any order.
func sameBytes(a, b string) bool {
	x, y := []byte(a), []byte(b)
	slices.Sort(x)
	slices.Sort(y)
	return string(x) == string(y)
}
