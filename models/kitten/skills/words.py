"""Word material of the generator, written for it."""

from __future__ import annotations

ONSETS = "b c d f g h j k l m n p r s t v w z br ch cl cr dr fl fr gl gr pl pr qu sh sk sl sn sp st th tr tw".split()
VOWELS = "a e i o u a e i o ai ea ee oo ou ie y".split()
CODAS = ["", "", "", "n", "r", "s", "t", "l", "m", "x", "ng", "ck", "nd"]

NAMES = """Ada Alan Alice Amina Anna Anton Aya Ben Bruno Carla Chen Chloé Clara Dana David Dina Diego Elena
Eli Ella Emil Emma Eva Farah Felix Finn Freya Grace Hana Hugo Ida Igor Ines Iris Ivan Jack Jana Jim João
Jonas Jürgen Kai Karim Kate Kofi Lars Laura Lena Leo Lila Lin Lina Luca Lucy Maja Marco María Mark Maya Mia
Mina Nadia Nina Noah Nora Olga Oliver Omar Oscar Paul Petra Pia Rita Rosa Ruth Sam Sara Sasha Sofia Søren Tara
Theo Tim Tom Uma Vera Victor Wei Will Yara Yuki Zara Zoé Zoë Renée Łukasz Björn Ömer 小明 Chiara Bob Peter""".split()

CITIES = """Accra Amsterdam Athens Auckland Baku Bangkok Barcelona Beijing Berlin Bern Bogotá Boston Brussels
Budapest Cairo Chicago Copenhagen Dakar Delhi Denver Dublin Geneva Genoa Hamburg Hanoi Havana Helsinki
Istanbul Jakarta Kiel Kraków Kyiv Kyoto Lagos Lima Lisbon London Lyon Madrid Malmö Manila Melbourne Miami Milan
Montréal Moscow Mumbai Munich Nairobi Naples Osaka Oslo Paris Porto Prague Quito Rabat Riga Rome Santiago Seattle Seoul
Seville Sofia Stockholm Sydney Tallinn Tokyo Toronto Tunis Turin Venice Vienna Vilnius Warsaw Zagreb Zürich
São_Paulo New_York Hong_Kong 北京 東京""".split()
CITIES = [city.replace("_", " ") for city in CITIES]

COMMON = """able about above add again air all also always and animal answer apple area arm ask away baby back bag ball
bank base bear beautiful bed before begin bell below best big bird black blue board boat body book born both bottle bottom
box boy bread break bright bring brother brown build burn bus busy butter button buy cake call came can car card care carry
case cat catch cause chair change cheese child choose circle city class clean clear climb clock close cloud coat cold
color come computer cook cool copy corn corner count country course cover cow cross cry cup cut dance dark day deep desk
did different dinner dish dog done door down draw dream dress drink drive drop dry duck dust each ear early earth east
easy eat edge egg eight else empty end engine enough even evening ever every eye face fact fair fall family far farm fast
father feel feet fence few field fight fill find fine finger finish fire first fish five floor flower fly follow food foot
forest forget form found four fox free fresh friend from front fruit full fun game garden gave girl give glad glass go goat
gold good grass gray great green ground group grow guess guitar hair half hall hand happy hard hat have head hear heart
heavy help hen here hide high hill history hold hole home honey hope horse hot hour house how hundred hunt hurry ice idea
inside island job join joke jump just keep kettle key kind king kitchen kitten know ladder lake lamp land language large last
laugh lead leaf learn left leg lemon letter light like line lion list listen little live long look lost loud love low lucky
lunch machine make many map mark market maybe meat meet milk mind minute mirror miss model money monkey month moon morning
mother mountain mouse mouth move much music name narrow near neck need nest never new next nice night nine noise north nose
note nothing now number ocean off often oil old one onion only open orange order other out outside over page paint pair
paper parrot part party pass past pay pen pencil people pepper perhaps person picture piece pig pin pink place plain plan
plant plate play please plum pocket point pony pool poor post potato power present price print proud pull purple push put
quick quiet rabbit rain reach read ready real red rest rice rich ride right ring rise river road rock roof room root rope
round row rule run sad safe sail salt same sand save say school score sea second see seed sell send server seven shape share
sharp sheep ship shirt shoe shop short show side sign silver simple sing sister sit six size skin sky sleep slow small smart
smell smile snow soft some song soon sound soup south space speak spell spoon spring square stand star start station stay
step stick still stone stop store storm story straight street strong student such sugar summer sun sure sweet swim table tail
take talk tall tea teach team tell ten test thank that their then there thing think third this three ticket tiger time tiny
today together token tomorrow too top touch town toy track train tree trip truck true try turn turtle two uncle under until
use valley very village violin visit voice wait walk wall want warm wash watch water wave way wear weather week well went
west wet what wheel when where white who why wide wild win wind window wing winter wish with wolf wonder wood word work
world write yard year yellow yes yesterday young zebra zero alpha beta gamma delta omega banana cherry grape melon peach pear
apple-pie café naïve crème piñata jalapeño über straße señor déjà-vu façade smörgåsbord""".split()

ANIMALS = """dog fox cow hen owl bear wolf goat duck crow frog mole hare swan deer lynx otter mouse sheep horse
pony raven robin seal snail tiger turtle rabbit beaver badger hedgehog donkey parrot panda whale dolphin zebra""".split()

COLORS = "red blue green yellow black white orange purple pink brown gray gold silver violet turquoise".split()
FOODS = """pizza soup rice pasta sushi salad bread cheese curry tacos noodles pancakes apples cherries chocolate honey
dumplings falafel lasagna olives""".split()
JOBS = """baker teacher doctor nurse pilot farmer painter writer singer lawyer plumber engineer gardener sailor
chef dancer miner judge tailor librarian""".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
LANGUAGES = "English French Spanish German Chinese Italian Dutch Greek Polish Swedish Turkish Japanese Korean".split()
COUNTRIES = """France Spain Germany China Italy Japan Brazil Canada Mexico Norway Sweden Finland Poland Greece Turkey
India Kenya Egypt Peru Chile Ghana Cuba Iran Nepal Austria Belgium Denmark Hungary Iceland Ireland Vietnam Morocco
Portugal Argentina Australia Colombia Switzerland""".split()
PRODUCTS = """lamp chair table phone laptop keyboard mouse bottle jacket bicycle backpack camera kettle mirror pillow
blanket notebook pencil umbrella watch""".split()

EMOJI = list("🐱😀😁😂😃😄😅😆😉😊😍😎🤔😢😡👍👎👋🙏💡🔥⭐🌍🌙☀🌈🍎🍕🎉🎵🚀🚗✈⚽🐶🐭🦊🐻🐼🐸🦁🐯🐮🐷🐔🐧🐦🌲🌸🍀❤💙💚✅❌⏰📦🔧")
FOREIGN = """café naïve Zoë über straße señora mañana garçon crêpe façade déjà élève où ça Ångström smörgås fjord
Łódź žába čaj düşünce ğöz İzmir привет мир кошка спасибо Москва γάτα καλημέρα κόσμος 你好 世界 谢谢 再见 小猫 中文 天气 学习
北京 猫 こんにちは ねこ ありがとう さくら カタカナ 東京 안녕 고양이 감사 niño jalapeño Ærø œuvre
Größe Äpfel œil Noël cœur pâté Привет Γειά ñandú""".split()
CHINESE = "的一是不了人我在有他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可里后小么心多天而能好都然没日于起还发成事只作当想看文无开手十用主行方又如前所本见经头面起公同三已老从动两长猫狗鸟鱼水火山石田土木花草"
