// Every word that people read, in English and Indonesian; {0} and {1} are filled in.

const LANGUAGES = ["en", "id"];
const WORDS = {
  chat: ["Chat", "Obrolan"],
  "unread_1": ["1 unread message", "1 pesan belum dibaca"],
  unread: ["{0} unread messages", "{0} pesan belum dibaca"],
  minimise: ["Minimise chat", "Kecilkan obrolan"],
  mute: ["Mute sounds", "Matikan suara"],
  end: ["End chat", "Akhiri obrolan"],
  "end_ask": ["End this chat?", "Akhiri obrolan ini?"],
  "end_not": ["Keep chatting", "Lanjutkan obrolan"],
  connecting: ["Connecting…", "Menghubungkan…"],
  offline: ["No connection; your messages are kept and go out by themselves.", "Tidak ada koneksi; pesan Anda disimpan dan terkirim dengan sendirinya."],
  "old_page": ["This page is out of date. Reload it to chat.", "Halaman ini sudah usang. Muat ulang untuk mengobrol."],
  "sign_in": ["Please sign in to chat with us.", "Silakan masuk untuk mengobrol dengan kami."],
  "sign_in_again": ["Please sign in again to chat with us.", "Silakan masuk lagi untuk mengobrol dengan kami."],
  hello: ["How can we help?", "Ada yang bisa kami bantu?"],
  "hello_more": ["Write to us; we answer here.", "Tulis pesan; kami menjawab di sini."],
  today: ["Today", "Hari ini"],
  yesterday: ["Yesterday", "Kemarin"],
  log: ["Conversation", "Percakapan"],
  write: ["Write a message", "Tulis pesan"],
  send: ["Send", "Kirim"],
  attach: ["Attach files", "Lampirkan berkas"],
  drop: ["Drop files here", "Lepaskan berkas di sini"],
  typing: ["Typing…", "Sedang mengetik…"],
  you: ["You", "Anda"],
  pending: ["Waiting to be sent", "Menunggu dikirim"],
  kept: ["Sent", "Terkirim"],
  read: ["Read", "Dibaca"],
  failed: ["Not sent", "Tidak terkirim"],
  latest: ["Newest messages", "Pesan terbaru"],
  "no_too_long": ["It is too long.", "Pesannya terlalu panjang."],
  "no_too_many": ["Too many messages at once.", "Terlalu banyak pesan sekaligus."],
  "no_other": ["It was refused.", "Pesan ditolak."],
  edit: ["Edit", "Ubah"],
  remove: ["Remove", "Hapus"],
  retry: ["Try again", "Coba lagi"],
  over: ["{0} characters too many", "Kelebihan {0} karakter"],
  uploading: ["Uploading {0}", "Mengunggah {0}"],
  "too_large": ["{0} is larger than {1}.", "{0} lebih besar dari {1}."],
  "type_refused": ["{0}: files of this type are not accepted.", "{0}: jenis berkas ini tidak diterima."],
  "many_files": ["A message holds at most {0} files.", "Satu pesan memuat paling banyak {0} berkas."],
  "up_failed": ["{0} could not be uploaded.", "{0} tidak dapat diunggah."],
  "ended_idle": ["This chat ended after a long silence.", "Obrolan ini berakhir karena lama tidak ada pesan."],
  "ended_moved": ["This chat goes on elsewhere.", "Obrolan ini berlanjut di tempat lain."],
  ended: ["This chat has ended.", "Obrolan ini telah berakhir."],
  again: ["Start again", "Mulai lagi"],
  before: ["Before we chat", "Sebelum mengobrol"],
  accept: ["Accept", "Setuju"],
  refuse: ["Refuse", "Tolak"],
  refused: ["Without your consent we cannot chat here.", "Tanpa persetujuan Anda, kami tidak dapat mengobrol di sini."],
  "refused_mail": ["You can write to us by e-mail:", "Anda dapat menulis kepada kami lewat surel:"],
  reconsider: ["Read the text again", "Baca lagi teksnya"],
  start: ["Start chat", "Mulai obrolan"],
  optional: ["optional", "opsional"],
  "bad_required": ["Please fill this in.", "Harap diisi."],
  "bad_email": ["Please check the e-mail address.", "Periksa alamat surelnya."],
  "bad_phone": ["Please check the phone number.", "Periksa nomor teleponnya."],
  "bad_other": ["Please check this.", "Harap diperiksa."],
  noticed: ["Got it", "Mengerti"],
  chosen: ["chosen", "dipilih"],
  coming: ["The file is on its way.", "Berkas sedang dikirim."],
  map: ["Open map", "Buka peta"],
};

const LANGUAGE =
  [settings.language, ...navigator.languages].map((tag) => str(tag).slice(0, 2)).find((tag) => LANGUAGES.includes(tag)) || "en";

const has_word = (key) => Object.hasOwn(WORDS, key);
const say = (key, ...values) =>
  WORDS[key][LANGUAGES.indexOf(LANGUAGE)].replace(/\{(\d)\}/g, (_, place) => str(values[place]));

const PLACE = navigator.language.startsWith(LANGUAGE) ? navigator.language : LANGUAGE; // en-GB writes dates as en-US does not
const clock = new Intl.DateTimeFormat(PLACE, { timeStyle: "short" });
const calendar = new Intl.DateTimeFormat(PLACE, { dateStyle: "full" });

function day_name(date) {
  const days = Math.round((new Date().setHours(0, 0, 0, 0) - new Date(date).setHours(0, 0, 0, 0)) / (86400 * SECOND));
  return days === 0 ? say("today") : days === 1 ? say("yesterday") : calendar.format(date);
}

function size_name(bytes) {
  const unit = bytes < 1e6 ? "kilobyte" : "megabyte";
  const value = bytes / (bytes < 1e6 ? 1e3 : 1e6);
  return new Intl.NumberFormat(PLACE, { style: "unit", unit, maximumFractionDigits: value < 10 ? 1 : 0 }).format(value);
}
