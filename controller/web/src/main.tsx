import { render } from "preact";
import "./page.css";

render(<main>Kiln</main>, document.body);
